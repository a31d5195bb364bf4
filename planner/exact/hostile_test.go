package exact_test

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/planner/exact"
)

// hostile are files made to be slow.
func hostile() map[string]string {
	return map[string]string{
		"long chain":        "FROM base\n" + strings.Repeat("RUN make\nCOPY x /\n", 990),
		"many instructions": "FROM --platform=$BUILDPLATFORM base\nARG TARGETARCH\n" + strings.Repeat("RUN make\nCOPY x /\n", 5000),
		"many stages":       manyStages(250, 20),
		"many ARGs":         "FROM base\n" + numbered(500, "ARG A%d=x%d\nRUN true\n"),
		"long lines":        "FROM base\n" + strings.Repeat("ENV A="+strings.Repeat("x", 60000)+"\nRUN true\n", 8),
		"deep nesting":      "FROM base\nARG A=" + strings.Repeat("${A:-", 10000) + strings.Repeat("}", 10000) + "\n",
		"deep RUN":          "FROM base\n" + strings.Repeat("RUN echo "+strings.Repeat("${A:-", 4000)+strings.Repeat("}", 4000)+"\n", 10),
		"nested RUNs":       "FROM base\n" + strings.Repeat("RUN echo "+strings.Repeat("${A:-", 60)+strings.Repeat("}", 60)+"\n", 1000),
		"links":             "FROM base\n" + strings.Repeat("COPY --link x /\n", 1990),
		"one MiB":           manyStages(500, 18) + strings.Repeat("# "+strings.Repeat("x", 998)+"\n", 950),
		"wide":              wide(100),
		"nested stages":     nestedStages(500, 19),
		"lints":             "FROM base\n" + strings.Repeat("env a b\n", 1990),
		"undefined":         "FROM base\n" + strings.Repeat("ENV A=$B$C$D\n", 1990),
		"many globals":      numbered(5000, "ARG G%d=x%d\n") + "FROM base\nRUN true\n",
	}
}

// TestHostile holds that a file made to be slow ends with a plan or an error.
func TestHostile(t *testing.T) {
	for name, text := range hostile() {
		t.Run(name, func(t *testing.T) {
			result, err := exact.Plan(t.Context(), options(t, text))
			if err == nil {
				check(t, result, []byte(text))
			}
		})
	}
}

// BenchmarkHostile says how long they take and how large the heap gets.
func BenchmarkHostile(b *testing.B) {
	for name, text := range hostile() {
		b.Run(name, func(b *testing.B) {
			opts := options(b, text)
			var most uint64
			for b.Loop() {
				runtime.GC()
				done := make(chan struct{})
				peak := make(chan uint64)
				go sampleHeap(done, peak)
				_, _ = exact.Plan(b.Context(), opts)
				close(done)
				most = max(most, <-peak)
			}
			b.ReportMetric(float64(most>>20), "MiB-heap")
		})
	}
}

// sampleHeap returns the largest heap that it sees until done is closed.
func sampleHeap(done <-chan struct{}, peak chan<- uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for most := uint64(0); ; {
		metrics.Read(sample)
		most = max(most, sample[0].Value.Uint64())
		select {
		case <-done:
			peak <- most
			return
		case <-tick.C:
		}
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

// nestedStages are each FROM the one before.
func nestedStages(stages, runs int) string {
	var b strings.Builder
	for i := range stages {
		from := "base"
		if i%100 > 0 {
			from = fmt.Sprintf("s%d", i-1)
		}
		fmt.Fprintf(&b, "FROM %s AS s%d\n%s", from, i, strings.Repeat("RUN make\n", runs))
	}
	return b.String()
}

// wide is a graph in which every stage copies from all before it.
func wide(stages int) string {
	var b strings.Builder
	for i := range stages {
		fmt.Fprintf(&b, "FROM base AS s%d\nARG TARGETARCH\nRUN make\n", i)
		for k := range i {
			fmt.Fprintf(&b, "COPY --from=s%d / /\n", k)
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
