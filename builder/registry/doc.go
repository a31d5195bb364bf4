// Package registry resolves, reads and writes images in registries.
//
//	client := registry.New(registry.Options{Logger: logger})
//	desc, err := client.Resolve(ctx, "docker.io/library/alpine:3")
//	…
//	err = client.Copy(ctx, "ghcr.io/me/app:v1", store, desc)
//
// It stands on containerd's client (core/remotes/docker) for tokens, downloads
// and the description of hosts, and on docker/cli for credentials. What it adds
// is patience and certainty.
//
// # Patience
//
// A registry that asks for a pause gets it: answers 429 and 503 are repeated
// after the Retry-After that they name, in seconds or as a date, or after growing
// pauses. Gateway errors, cut connections and silence are repeated a few times,
// other refusals never. All waiting of one operation is bounded by
// [Options.MaxWait], and every wait is a line in the log. When one request is
// told to wait, the others to the same host wait with it. Mirrors are never
// waited for.
//
// # Certainty
//
// Content is compared with its digest when it is read, and headers are not
// trusted with anything that can be computed. Nothing is repeated blindly: after
// a write whose outcome is unknown, such as one answered by 504, the registry is
// asked whether it has the content. A tag is written once, last, and read back;
// see [Client.PushManifest] for how this treats tags that are immutable, that
// somebody else moves, or that show up late.
//
// A push of several tags to several registries goes in two steps, so that a
// registry that fails leaves no tag behind elsewhere: [Client.Copy] everything by
// digest to each repository, then [Client.PushManifest] for each tag. To join
// images that others have pushed, [Client.WaitFor] them before the index is
// written.
//
// # Hosts
//
// [Options.Hosts] takes the [registry."host"] tables of a buildkitd.toml, so that
// the client reaches a registry as the engine does: mirrors, plain http, own
// certificate authorities, client certificates. Registries on this machine speak
// plain http unless told otherwise. Pushes, and the questions that belong to
// them, go to the registry itself and not to its mirrors.
//
// # Credentials
//
// They come from where docker login puts them: $DOCKER_AUTH_CONFIG, and
// config.json with its credential helpers. A helper gets 30 seconds to answer.
// One that is missing or broken is no error until the registry insists on
// credentials; the error's hint names it then. Tokens that expire, and
// credentials that change, are renewed at the next refusal.
//
// Credentials go to the host that they are for, and nowhere else: not along with
// a redirect, not to another port, not from https to http. A registry can't send
// the client to a link-local address or to a service on this machine either.
//
// # Errors
//
// Every failed operation returns an [*Error], which says what was done to which
// reference, what the registry answered in its own words, and in its Hint what to
// do about it. [ErrNotFound], [ErrTagMoved] and [ErrDigest] are matched with
// [errors.Is]. Neither errors nor log lines show credentials, or queries of URLs,
// in which registries put tokens.
//
// # What it does not do
//
// It doesn't join or interpret indexes beyond finding their children
// (builder/index does), and keeps no content on disk. It deletes no content, and
// tags only by [Client.Untag].
package registry
