package report_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/bench/report"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{1, 2}, 1.5},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{1, 1, 1, 100}, 1},
	} {
		t.Run(fmt.Sprint(test.values), func(t *testing.T) {
			before := fmt.Sprint(test.values)
			if got := report.Median(test.values); got != test.want {
				t.Errorf("Median = %v, want %v", got, test.want)
			}
			if after := fmt.Sprint(test.values); after != before {
				t.Errorf("the values are %s afterwards", after)
			}
		})
	}
	if got := report.Median(nil); !math.IsNaN(got) {
		t.Errorf("Median of nothing = %v, want NaN", got)
	}
}

func TestMedianRatio(t *testing.T) {
	for _, test := range []struct {
		name         string
		values, base []float64
		want         float64
	}{
		{"one round", []float64{1}, []float64{2}, 0.5},
		// The ratio of the medians would be 1: the rounds 2 and 3 are slow for both, which
		// is no news about either.
		{"per round", []float64{1, 30, 20}, []float64{2, 60, 20}, 0.5},
		{"even number", []float64{1, 3}, []float64{1, 1}, 2},
		{"zero base", []float64{1, 3}, []float64{0, 2}, 1.5},
		{"shorter base", []float64{1, 3}, []float64{2}, 0.5},
		{"no base", []float64{1}, nil, 0},
		{"nothing", nil, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := report.MedianRatio(test.values, test.base); got != test.want {
				t.Errorf("MedianRatio = %v, want %v", got, test.want)
			}
		})
	}
}

func TestSummarise(t *testing.T) {
	sample := func(seconds float64, mib int64) report.Sample {
		return report.Sample{Elapsed: time.Duration(seconds * float64(time.Second)), Peak: mib << 20}
	}
	got := report.Summarise("warm", "buildx", []report.Series{
		{Tool: "mabuild", Samples: []report.Sample{sample(1, 40), sample(2, 44), sample(3, 42)}},
		{Tool: "buildx", Samples: []report.Sample{sample(2, 80), sample(2, 81), sample(4, 82)}},
		{Tool: "buildctl"},
	})
	want := []report.Row{
		{Case: "warm", Tool: "mabuild", Median: 2, Min: 1, Max: 3, PeakMiB: 44, Ratio: 0.75},
		{Case: "warm", Tool: "buildx", Median: 2, Min: 2, Max: 4, PeakMiB: 82, Ratio: 1},
		{Case: "warm", Tool: "buildctl"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	alone := report.Summarise("engine start", "buildx", []report.Series{{Tool: "mabuild", Samples: []report.Sample{sample(1, 0)}}})
	if diff := cmp.Diff([]report.Row{{Case: "engine start", Tool: "mabuild", Median: 1, Min: 1, Max: 1}}, alone); diff != "" {
		t.Errorf("without the reference (-want +got):\n%s", diff)
	}
}

func TestCompare(t *testing.T) {
	series := func(tool string, seconds ...float64) report.Series {
		s := report.Series{Tool: tool}
		for _, value := range seconds {
			s.Samples = append(s.Samples, report.Sample{Elapsed: time.Duration(value * float64(time.Second))})
		}
		return s
	}
	got := report.Compare(series("mabuild", 1, 30, 20), series("plain", 2, 60, 19))
	if diff := cmp.Diff(report.Beside{Tool: "plain", Ratio: 0.5, Added: -1}, got); diff != "" {
		t.Errorf("beside (-want +got):\n%s", diff)
	}
}

func ExampleMedianRatio() {
	mabuild, buildx := []float64{1.0, 1.1, 4.0}, []float64{2.0, 2.2, 5.0}
	fmt.Printf("%.2f\n", report.MedianRatio(mabuild, buildx))
	// Output: 0.50
}
