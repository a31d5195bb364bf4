package summary_test

import (
	"fmt"
	"os"
	"time"

	"github.com/mabuild/mabuild/builder/ci/summary"
	"github.com/mabuild/mabuild/builder/report"
)

func ExampleWrite() {
	start := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	build := &report.Build{
		Started: start, Completed: start.Add(12 * time.Second), Names: []string{"ghcr.io/example/app"},
		Platforms: []report.Platform{{Name: "linux/arm64", Started: start, Completed: start.Add(11 * time.Second)}},
		Steps: []report.Step{{
			Name: "RUN make", Kind: "exec", Line: 3, Platforms: []string{"linux/arm64"}, State: report.Emulated,
			Intervals: []report.Interval{{Started: start, Completed: start.Add(9 * time.Second)}},
		}},
	}
	if err := summary.Write(os.Stdout, build, summary.Options{}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ## ✅ 1 platform in 12.0s
	//
	// <code>ghcr.io/example/app</code>
	//
	// | Platform | Commands | Time | Cached | Size | Digest |
	// | --- | --- | ---: | ---: | ---: | --- |
	// | ✅ linux/arm64 | 1 emulated (9.0s) | 11.0s | 0 of 1 |  |  |
	//
	// ### Slowest steps
	//
	// | Time | Platforms | How | Line | Step |
	// | ---: | --- | --- | ---: | --- |
	// | 9.0s | linux/arm64 | emulated | 3 | <code>RUN make</code> |
}
