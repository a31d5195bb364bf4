package exact_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/planner/exact"
)

// TestHostile holds that a file made to be slow soon ends with a plan or an error.
// The limit is far above what is seen, which is logged.
func TestHostile(t *testing.T) {
	tests := map[string]string{
		"long chain":        "FROM base\n" + strings.Repeat("RUN make\nCOPY x /\n", 990),
		"many instructions": "FROM --platform=$BUILDPLATFORM base\nARG TARGETARCH\n" + strings.Repeat("RUN make\nCOPY x /\n", 5000),
		"many stages":       manyStages(250, 20),
		"many ARGs":         "FROM base\n" + numbered(500, "ARG A%d=x%d\nRUN true\n"),
		"long lines":        "FROM base\n" + strings.Repeat("ENV A="+strings.Repeat("x", 60000)+"\nRUN true\n", 8),
		"deep nesting":      "FROM base\nARG A=" + strings.Repeat("${A:-", 10000) + strings.Repeat("}", 10000) + "\n",
		"links":             "FROM base\n" + strings.Repeat("COPY --link x /\n", 1990),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			opts := options(t, text)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			result, err := exact.Plan(t.Context(), opts)
			runtime.ReadMemStats(&after)
			took := time.Since(began)
			t.Logf("%d bytes: %v, %d MB allocated, error %v", len(text), took, (after.TotalAlloc-before.TotalAlloc)>>20, err)
			if took > 30*time.Second {
				t.Errorf("planning takes %v", took)
			}
			if err == nil {
				check(t, result, []byte(text))
			}
		})
	}
}

func manyStages(stages, runs int) string {
	var b strings.Builder
	for i := range stages {
		fmt.Fprintf(&b, "FROM base AS s%d\nARG TARGETARCH\n%s", i, strings.Repeat("RUN make\n", runs))
		if i > 0 {
			fmt.Fprintf(&b, "COPY --from=s%d / /\n", i-1)
		}
	}
	return b.String()
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i, i)
	}
	return b.String()
}
