// Package action reads the inputs of a step of GitHub Actions as a command line.
//
//	in, err := action.Read(action.Options{Environ: os.Environ(), Event: event})
//	// in.Args: --platform linux/amd64,linux/arm64 --tag … .
//
// The inputs are the 33 of docker/build-push-action with its rules, so that a workflow
// need not be changed, and those of mabuild's own flags. [Names] lists them for an
// action.yml, [Flags] what they become. join, report and summary are
// for the caller.
//
// # How inputs are written
//
// The runner sets INPUT_ and the name in capitals, hyphens kept, for every input, empty
// or not. Lists have one item on a line, or between commas where an item has none:
//
//	platforms, tags, allow, ssh, …           lines and commas, quotes as in CSV
//	build-args, labels, cache-from, …        lines, quotes as in CSV: "A=two
//	                                         lines, and ""quotes"""
//	outputs                                  lines; quotes are part of the item
//	push, load, pull, no-cache, …            true or false
//
// An unknown input is not followed. The warning names the one that is nearest, and its
// flag. builder is the name of a builder of buildx, of which mabuild knows none: there
// is a warning, unless it is an address.
//
// # What is built
//
// Without a context it is the commit of the workflow, fetched from GitHub; for a pull
// request the merge. {{defaultContext}} is that address, as in
// {{defaultContext}}:directory. The github-token goes with it as the secret
// GIT_AUTH_TOKEN.HOST, unless the user gives one: for that host alone, where
// build-push-action's goes to every git server that a Dockerfile names. The checkout is
// context: . as ever.
//
// # Secrets
//
// Their values are variables of Env, to which Args refer, and not files, which somebody
// would have to delete. Secrets and the contents of SecretFiles must not be shown.
//
// # Attestations
//
// provenance and sbom go before attests. If nothing is said of provenance, a public
// repository's has mode=max, a private one's mode=min,inline-only=true, with the URL of
// the run as the builder-id. Whether it is private is in the event; where that does not
// say, it may be. Nothing is attested if the image goes to Docker, or --call only asks.
//
// # Where this is from
//
// context.ts and action.yml of docker/build-push-action, build.ts, util.ts and context.ts
// of docker/actions-toolkit; "Metadata syntax for GitHub Actions"; for the names of
// secrets, BuildKit's source/git.
package action
