package ci_test

import (
	"fmt"
	"os"
	"time"

	"github.com/mabuild/mabuild/builder/ci"
)

func ExampleNewLog() {
	log := ci.NewLog(os.Stdout, ci.LogOptions{System: ci.GitHub, Secrets: []string{"hunter2"}})
	fmt.Fprintln(log.Platform("linux/arm64"), "#7 0.312 login with hunter2")
	fmt.Fprintln(log.Platform("linux/arm64"), "::set-output name=digest::sha256:bad")
	fmt.Fprintln(log.Platform("linux/amd64"), "#6 0.101 ok")
	fmt.Fprintln(log, "linux/amd64: RUN make took 0.1s")
	log.Fail("linux/arm64", "RUN make: exit code: 2")
	log.Done("linux/amd64", (3 * time.Second).String())
	log.Annotate([]ci.Annotation{{Level: ci.Error, File: "Dockerfile", Line: 6, Title: "linux/arm64", Message: "RUN make: exit code: 2"}})
	if err := log.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ::add-mask::hunter2
	// linux/amd64: RUN make took 0.1s
	// ::group::linux/amd64 · 3s
	// #6 0.101 ok
	// ::endgroup::
	// ::error file=Dockerfile,line=6,title=linux/arm64::RUN make: exit code: 2
	// ==> linux/arm64 · RUN make: exit code: 2
	// #7 0.312 login with ***
	// : :set-output name=digest::sha256:bad
}

func ExampleWriteGitHub() {
	outputs, err := ci.Results{Digest: "sha256:1234", Platforms: []ci.PlatformResult{{Platform: "linux/arm64", Digest: "sha256:5678"}}}.Outputs()
	if err != nil {
		fmt.Println(err)
		return
	}
	// A real one is random: rand.Text().
	if err := ci.WriteGitHub(os.Stdout, "EXAMPLE", outputs[:1]); err != nil {
		fmt.Println(err)
	}
	// Output:
	// digest<<ghadelimiter_EXAMPLE
	// sha256:1234
	// ghadelimiter_EXAMPLE
}
