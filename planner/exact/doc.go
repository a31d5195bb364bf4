// Package exact says what BuildKit will do with a Dockerfile: every step, where
// it really executes, what several platforms share, and what will go wrong.
//
// Where package planner predicts from the text alone, this package runs
// BuildKit's own converter, once per platform, with a stand-in for the builder.
// It needs no builder, but it looks up images; the resolver decides whether that
// takes a network.
//
//	result, err := exact.Plan(ctx, exact.Options{
//		Dockerfile: text,
//		Platforms:  platforms,
//		Context:    ".",
//		Resolver:   resolver,
//	})
//	for _, finding := range result.Findings {
//		fmt.Printf("%s:%d: %s\n", finding.File, finding.Line, finding.Message)
//	}
//
// # Steps
//
// A step is an operation of BuildKit. Its ID is the digest of the operation and
// of all that it depends on, without what differs between sessions or merely
// selects files of the context, so it can be stored: equal IDs are equal work.
// Jobs whose steps have the same ID share the step; BuildKit does it once.
//
// Step.Digests are in BuildKit's own terms. They are those of the vertices of a
// real build if Options.SessionID is that of the build and context, ignore file
// and options are the same.
//
// A RUN executes on the platform of its base, which is not always the one that
// was asked for: BuildKit takes an image for amd64 where arm64 is wanted if the
// reference offers nothing else. Step.ExecPlatform is the real one, as the
// image's configuration says; State follows from it and Options.Native, by the
// rules of planner.Runnable. Steps on files (COPY, ADD, WORKDIR) have no state:
// BuildKit does them itself. What BuildKit adds (the transfer of the context, the
// download behind ADD) has line 0. What triggers of ONBUILD do has the line of
// the FROM that sets them off.
//
// # Images
//
// Match says what a reference gives for a platform:
//
//	exact                  the platform itself
//	fallback:PLATFORM      another one of the index, which BuildKit takes without a
//	                       word: arm for arm64, 386 for amd64, arm/v6 for arm/v7
//	single:PLATFORM        the one image there is, since the reference is no index
//	mislabelled:PLATFORM   one that the index lists for the platform, though its
//	                       own configuration says otherwise
//	missing                nothing; BuildKit refuses
//
// A lookup that fails does not hide the next one: the converter gets a stand-in,
// and all that is wrong with all images is in the findings of one Plan. The
// triggers and the environment of an image that cannot be looked up are unknown;
// where only the platform is missing, those of its neighbour are used.
//
// # Findings
//
//	base-platform         error  match is missing, single, fallback or mislabelled;
//	                             not if only amd64/v3 is built from amd64 and the like
//	base-unavailable      error  the resolver failed
//	base-digest-single    error  FROM x@sha256:… is one image, and several platforms
//	                             are built
//	runtime-pinned        error  the target stage comes from FROM --platform=…, so that
//	                             the image has files of another platform than it says;
//	                             pointless for targets that make no image
//	builtin-arg-default   error  ARG TARGETARCH=… and the like, where the default
//	                             differs from the value that it replaces
//	arg-early             note   a stage that executes on one platform runs once per
//	                             target, because an ARG for the platform is declared
//	                             before commands that do not mention it; Finding.Runs
//	                             says what that costs. A script that such a command
//	                             calls may still read the variable.
//
// # Limits
//
//   - A context that is a URL is read through Options.Remote, as far as that decides
//     about operations: the Dockerfile, whether it is an archive, and times for
//     SOURCE_DATE_EPOCH. BuildKit resolves a branch again when it builds; a URL with
//     a commit, and so other digests, makes sure that it builds what was planned.
//   - Of git over SSH the server's key is part of the digests. BuildKit's code asks the
//     host for it during conversion, and waits for hosts that do not answer.
//   - Named contexts that are other targets, as in bake files, are refused.
//   - A frontend that "# syntax=" names is not run. Result.Approximate is set unless
//     it is a release of docker/dockerfile, which is close to the builtin one.
//   - Files are not looked at, so COPY of what is not there is planned.
//   - Variables that grow beyond 128 KiB, or add more than 64 MiB in all, are an
//     error, though BuildKit would go on until the memory is full.
package exact
