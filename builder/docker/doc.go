// Package docker brings images of a store into a running Docker Engine.
//
//	endpoint, err := docker.Find(docker.Options{})
//	engine, err := docker.Connect(ctx, endpoint)
//	…
//	loaded, err := engine.Load(ctx, store, docker.Image{Root: desc, Names: names})
//
// It speaks the Engine's API and needs no docker program.
//
// # Which Docker
//
// [Find] looks where the docker command looks: $DOCKER_HOST, $DOCKER_CONTEXT, the
// current context of config.json, and the socket in /var/run. Hosts are unix://,
// tcp:// with or without TLS ($DOCKER_TLS_VERIFY, $DOCKER_CERT_PATH, or a context's
// certificates) and ssh://, which runs ssh and the docker program at its other end.
//
// # Which platforms
//
//	Docker's image store     without Image.Platforms    with one      with several
//	containerd image store   everything, attestations   that one      those
//	                         too, under the digest
//	                         that a registry would show
//	classic store            the one that Docker's      that one      an error
//	                         machine runs best
//
// The classic store keeps one platform under a name. [Loaded.LeftOut] says what it was
// not given.
//
// # Certainty
//
// The archive is a stream: memory stays flat, and nothing is written to disk here.
// Digests are verified on the way. Afterwards Docker is asked what the names lead to.
//
// # What it does not do
//
// It doesn't pull, tag or run anything, and deletes nothing: what a name led to before
// stays in Docker without that name, as after docker load.
package docker
