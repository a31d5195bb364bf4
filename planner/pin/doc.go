// Package pin moves stages to the build platform where an emulator is not needed:
// FROM --platform=$BUILDPLATFORM, and for Go the environment of a cross build.
//
//	stages, err := pin.Candidates(plan, text)
//	for _, s := range stages {
//		fmt.Println(s.Name, s.State, s.Reasons)
//	}
//	text, err = pin.Apply(text, pins, platform) // to send, for one job
//	text, err = pin.Patch(text, pins, all)      // to write, for the repository
//
// # Which stages
//
// [Candidates] reads a plan and the Dockerfile. A stage is a candidate if all of
// this is true; otherwise the first word of each [Reason] says what is not:
//
//	S1    it is FROM an image that has the build platform in its index
//	S2    it has no --platform of its own
//	S3    it is not the target, and no stage is FROM it
//	S4    others take files from it; none runs programs of it
//	S5    what they take are products: not /usr or /lib, not node_modules
//	S6    no command asks for the machine (uname -m), or fetches for $TARGETARCH
//	S7    no command runs what the stage has built (go test, go run, go generate)
//	lang  its language can do it
//
// By language:
//
//	go            candidate if CGO_ENABLED=0 is said explicitly (a cross build turns
//	              cgo off silently, and a program that needs it would be another one)
//	              and it only calls go build: no go install, -race, plugins, make
//	js, docs      candidate; the result is to be verified
//	java          candidate without jlink, jpackage, native-image; to be verified
//	php, python   candidate; the result is to be verified: native modules are common
//	dotnet, rust, c, zig   blocked, with advice
//	others        blocked
//
// [Stage].Verify says what the check of the finished image has to look at. A pin
// that is wrong is an image with programs for another platform, so that check is
// to fail for files from a pinned stage.
//
// # In memory
//
// [Apply] edits the text that is sent, for one platform, without moving a line.
// There is no place for ARG and ENV on the lines that exist, hence a command that
// calls go build gets
//
//	RUN export CGO_ENABLED=0 GOOS=linux GOARCH=arm64; go build …
//
// and the others stay as they are, so that all platforms share them. A command
// without a shell (RUN ["go", "build"]), with a foreign one, or given a
// here-document as input is refused: its author has to say ENV. The result is parsed and
// compared: nothing else may have changed.
//
// # In the source
//
// [Patch] makes the change that a reviewer wants to see, with ARG and ENV lines
// right before the first go build. It works without mabuild, and twice is once.
// ${TARGETVARIANT#v} needs docker/dockerfile 1.7.
package pin
