// Package show writes plans for people and for programs.
//
// # The screen
//
// [Text] is one screen: a row per stage, a column per platform, the emulated steps
// and the findings below.
//
//	Dockerfile · 3 stages · native linux/amd64 · QEMU for arm64
//
//	  STAGE   FROM                amd64    arm64    NEEDS
//	  assets  node:22 (on amd64)  ● 2 RUN  = amd64
//	  build   golang:1.26         ● 1 RUN  ▲ 1 RUN
//	  final   └ build             ● copy   ● copy   assets L20
//
// A mark says how a stage is made for a platform: ● natively, ▲ emulated, = not
// again because it is shared with the platform or the stage named, ✗ not at all
// because an image that it needs is not made for the platform, — not needed. With
// Options.Assists, ◆ is emulated with native tools for all commands; if only some
// have them, it is ▲. The number is that of the commands that run for this platform
// first, so that the numbers of a table add up to the distinct commands. "(on amd64)"
// is a base whose commands execute there whatever the target is; └ is another stage.
// NEEDS are the stages and images that files come from.
//
// Everything fits Options.Width. What gives way is, in this order: the end of
// NEEDS, times, the words in cells, the middle of references (not their tags), and
// at last the table is written in parts. Of more than 20 stages, those that are
// native or shared and have no finding are counted instead. Of the emulated
// commands, the six slowest are shown if Options.Forecast knows them, and the first
// six otherwise; a line stands for all platforms of a command.
//
// With Options.Forecast, a line below a command says in which programs QEMU spent its
// time when it was last emulated, on the platform where that was most: those with at
// least 5 % of it, of commands that took 5 seconds of processor time or more. Stages
// that could be pinned have the sum of their commands, and come in its order. Options.Tools
// adds what native tools there are for these programs. Their names come from inside
// containers: what cannot be printed is a question mark.
//
//	▲ L14  build  arm64  -  2m41s  make -j2
//	      2m08s in cc1 (78 %), 9.1s in as (6 %)
//	tools for cc1, as: native where the engine has a toolbox for the base
//
// With Options.Assists, each of them has the recipe that gives it native tools, "go
// 1/2" if that is so on one platform of two, or "-", and below is why not. That says
// nothing of the engine's toolboxes, which Options.Tools is about. With
// Options.Pins, up to three stages follow that could run on the build platform. What
// keeps others from it is in [Explain] and [JSON]. Neither is shown if nothing is
// emulated. The mounts that assist.Apply adds are never part of a command.
//
//	◆ L6   build  arm64  go  CGO_ENABLED=0 go build -o /out/app ./cmd/app
//	▲ L18  final  arm64  -   useradd app
//	no tools mounted: L18: no recipe knows docker.io/library/debian:12
//
//	stage build can run on $BUILDPLATFORM: --pin-native=build:go (saves 1 emulated run, assisted now)
//
// [Explain] is a screen about one line of the Dockerfile: where it runs, what it
// needs, and why it runs several times. It is made from exact.Explain.
//
// # Pictures
//
// [SVG] is the graph of the stages from left to right: boxes for stages with a cell
// for each platform, small boxes for images, lines for FROM, COPY and mounts. It
// has no font, script or style from elsewhere, has colours for light and dark
// viewers, and says all that colours say with marks, too. Titles that appear under
// the pointer tell details, findings among them. Its bytes depend on the plan only.
// A graph with more lines than anybody could follow is an error.
//
// [DOT] is the same for Graphviz. In both, stages that nothing needs are left out.
//
// # Documents
//
// [JSON] has everything that the plan knows but the environment of commands.
// docs/plan.schema.json describes it; its fields are added to, never renamed. The
// state of a stage that is assisted is still "emulated" there: its steps say more.
//
// [SARIF] has the findings for code scanning, in version 2.1.0 of that format.
// Paths are relative to Options.Root, or else to the current directory, which is to
// be the root of the repository; a file elsewhere has an absolute address. The
// fingerprint of a finding does not depend on its line, so that an alert stays the
// same one while the file changes around it.
//
// # Time
//
// With Options.Forecast, cells, emulated commands, explanations and pictures have
// times, and the screen and the JSON form say how long all takes. A command without
// an estimate has no time; nothing is guessed here.
package show
