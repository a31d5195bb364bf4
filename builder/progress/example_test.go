package progress_test

import (
	"fmt"
	"os"

	"github.com/moby/buildkit/client"

	"github.com/mabuild/mabuild/builder/progress"
)

func Example() {
	display, err := progress.New(os.Stdout, progress.Plain)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, job := range []string{"linux/amd64", "linux/arm64"} {
		named := func(step string) string { return progress.Prefix(job, step) }
		// Both jobs need the context; it is shown once.
		for _, status := range []*client.SolveStatus{
			completed("[internal] load build context", 0, 1, ""),
			completed("RUN make for "+job, 1, float64(3+i), ""),
		} {
			display.Report(job, status, named)
		}
		display.End(job)
	}
	if err := display.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// #1 [internal] load build context
	// #1 DONE 1.0s
	//
	// #2 [linux/amd64] RUN make for linux/amd64
	// #2 DONE 2.0s
	//
	// #3 [linux/arm64] RUN make for linux/arm64
	// #3 DONE 3.0s
}
