package action_test

import (
	"fmt"
	"strings"

	"github.com/mabuild/mabuild/builder/ci/action"
)

func ExampleRead() {
	in, err := action.Read(action.Options{Environ: []string{
		"INPUT_CONTEXT=.", "INPUT_PLATFORMS=linux/amd64,linux/arm64", "INPUT_TAGS=ghcr.io/example/app:1\nghcr.io/example/app:latest",
		"INPUT_PUSH=true", "INPUT_PROVENANCE=mode=max", "INPUT_TARGTE=app",
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.ReplaceAll(strings.Join(in.Args, " "), " --", "\n--"))
	fmt.Println(in.Warnings[0].Message)
	// Output:
	// --platform linux/amd64,linux/arm64
	// --push
	// --tag ghcr.io/example/app:1
	// --tag ghcr.io/example/app:latest
	// --attest type=provenance,mode=max .
	// the input targte is unknown and not followed; did you mean target, which is the flag --target?
}
