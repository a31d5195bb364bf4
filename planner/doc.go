// Package planner expands a Dockerfile into one build job per target platform
// and says what each job needs before anything runs.
//
// A plan is made from the text of the Dockerfile alone: Expand looks up no
// image, asks no builder and reads no file. It parses with BuildKit's own
// packages and follows BuildKit's rules, so that what it refuses, BuildKit
// refuses, only later (except for two things that no one writes on purpose:
// arguments that grow beyond 128 KiB, and COPY --from=N with a number beyond
// the last stage). It is a prediction and not a second frontend: the builder
// still converts the Dockerfile itself.
//
//	platforms, err := planner.ParsePlatforms("linux/amd64,linux/arm64")
//	plan, err := planner.Expand(dockerfile, planner.Options{Platforms: platforms})
//	for _, stage := range plan.Foreign(runnable) {
//		// stage.RunLine needs an emulator for stage.Platform
//	}
//
// # Platform lists
//
//	list     = item { "," item }
//	item     = "local" | system | architecture | system "/" architecture [ "/" variant ]
//	system   = name [ "(" [ version ] { "+" feature } ")" ]
//
// Blanks around items and the case of letters do not matter. The words are
// those that Go builds for (`go tool dist list`) plus linux/sparc64 and
// wasi/wasm. "local" is this machine; so is the missing half of a single word:
// "arm64" is linux/arm64 on a Linux machine. On macOS and Windows the system
// is Linux in both cases, since that is where builds run.
//
// Platforms are normalised as containerd does, so that one platform has one
// spelling and is built once:
//
//	written                          means              $TARGETVARIANT
//	x86_64, x86-64, amd64/v1         amd64
//	amd64/v2, /v3, /v4               as written         v2, v3, v4
//	i386                             386
//	aarch64, arm64/v8, arm64/8       arm64
//	arm64/v8.1 … v8.9, v9 … v9.7     as written         v8.1 …
//	arm, armhf, arm/7                arm/v7             v7
//	armel, arm/6                     arm/v6             v6
//	arm/v5, arm/v8                   as written         v5, v8
//	ppc64, ppc64le/power8 … power10  as written         power8 …
//	riscv64/rva20u64, 22, 23         as written         rva20u64 …
//	macos/arm64                      darwin/arm64
//
// containerd accepts any word as an architecture or variant. ParsePlatforms
// does not: linux/amd46 is a *PlatformError that names linux/amd64.
//
// # Arguments
//
// FROM sees the global scope only, which is filled in this order; what comes
// later replaces what is there:
//
//  1. the automatic arguments: TARGETPLATFORM, TARGETOS, TARGETOSVERSION,
//     TARGETARCH and TARGETVARIANT of the job's platform, the same with BUILD
//     of Options.BuildPlatform, and TARGETSTAGE, the target as it was asked
//     for, or the last stage's name, or "default";
//  2. Options.Args for the names above;
//  3. every ARG before the first FROM, in order: with its value in
//     Options.Args, or else with its default, in which earlier arguments are
//     replaced. Without either it changes nothing.
//
// So `ARG TARGETARCH=amd64` before the first FROM makes $TARGETARCH amd64 in
// every FROM of every platform, and an ARG inside a stage is not seen by the
// next FROM.
//
// # Stages
//
// Job.Stages holds the stages that the target reaches on that platform, in
// build order. A stage reaches the stage that it is FROM, those it names in
// COPY --from or RUN --mount=from, and those that the ONBUILD instructions of
// the stage that it is FROM name. FROM finds the stages before it, after its
// variables are replaced, so that FROM base-$TARGETARCH reaches another stage
// on every platform. --from takes no variables and finds names in any case;
// COPY --from also takes numbers. A name that is no stage is an image.
//
// The commands of a stage run on
//
//   - the platform of the stage that it is FROM, if it is FROM one; its own
//     --platform is ignored then;
//   - the job's platform, if it is FROM scratch; --platform is ignored, too;
//   - its own --platform;
//   - or else the job's platform.
//
// The platform of the last stage is that of the files in the image. Where it
// is not the job's, the image will hold another architecture than it says.
//
// Images in COPY --from and RUN --mount=from are of the job's platform, also
// in a stage that runs on another one. A stage of its own with --platform gets
// an image of another platform.
//
// A mistake is reported as an *Error with the line, for every stage where it
// is in FROM or names a stage that cannot exist, and otherwise for reached
// stages only, as BuildKit does.
//
// With Options.AllStages a job holds every stage, whether the target reaches it or
// not, for those who want to look at the whole file.
//
// # What it does not do
//
// Package planner/exact does most of this, at the price of looking images up.
//
//   - Base images are not looked up: whether they have the platform, what they
//     declare with ONBUILD, and that their references are well-formed is for
//     those who ask a registry. Job.Images lists what there is to ask for.
//   - A "# syntax=" line is not followed; another frontend may have other rules.
//   - Named contexts (--build-context) that replace a stage or an image are
//     not taken into account.
//   - The environment inside stages is not tracked, hence mounts are read only
//     for what they come from.
package planner
