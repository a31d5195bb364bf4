package report

import (
	"math"
	"slices"
	"time"
)

// Sample is one run of one program.
type Sample struct {
	Elapsed time.Duration
	Peak    int64 // bytes; 0: not measured
	// CPU is what the processors did for it meanwhile, elsewhere than in the program
	// as well; 0: not measured. A busy machine hardly changes it.
	CPU time.Duration
}

// Row is what is known about one program in one case. Zero values are unknown.
type Row struct {
	Case    string  `json:"case"`
	Tool    string  `json:"tool"`
	Median  float64 `json:"median_s,omitzero"`
	Min     float64 `json:"min_s,omitzero"`
	Max     float64 `json:"max_s,omitzero"`
	PeakMiB float64 `json:"peak_mib,omitzero"`
	CPU     float64 `json:"cpu_s,omitzero"` // median
	Ratio   float64 `json:"ratio_to_buildx,omitzero"`
	// Beside are ratios to other programs of the case.
	Beside []Beside `json:"beside,omitzero"`
}

// Beside compares a program with another one.
type Beside struct {
	Tool string `json:"tool"` // the other one
	// Ratio is the median of each round's ratio of this program's time to the other's.
	Ratio float64 `json:"ratio"`
	// Added is the median of each round's difference, this program's time less the other's.
	Added float64 `json:"added_s"`
	// CPU is like Ratio, of the time of the processors; 0: not measured.
	CPU float64 `json:"cpu_ratio,omitzero"`
}

// Compare says how a program did beside another one in the same rounds.
func Compare(this, other Series) Beside {
	values, base := seconds(this.Samples), seconds(other.Samples)
	var added []float64
	for i := range min(len(values), len(base)) {
		added = append(added, values[i]-base[i])
	}
	return Beside{
		Tool: other.Tool, Ratio: MedianRatio(values, base), Added: Median(added),
		CPU: MedianRatio(processors(this.Samples), processors(other.Samples)),
	}
}

// Series are the runs of one program, one per round.
type Series struct {
	Tool    string
	Samples []Sample
}

// Summarise makes one row per series, in their order. Ratios are to the series of
// the reference; without one there are none.
func Summarise(name, reference string, series []Series) []Row {
	var base []float64
	for _, s := range series {
		if s.Tool == reference {
			base = seconds(s.Samples)
		}
	}
	rows := make([]Row, 0, len(series))
	for _, s := range series {
		row := Row{Case: name, Tool: s.Tool}
		if values := seconds(s.Samples); len(values) > 0 {
			row.Median, row.Min, row.Max = Median(values), slices.Min(values), slices.Max(values)
			row.Ratio = MedianRatio(values, base)
			row.CPU = Median(processors(s.Samples))
		}
		for _, sample := range s.Samples {
			row.PeakMiB = max(row.PeakMiB, MiB(sample.Peak))
		}
		rows = append(rows, row)
	}
	return rows
}

func seconds(samples []Sample) []float64 {
	values := make([]float64, len(samples))
	for i, sample := range samples {
		values[i] = sample.Elapsed.Seconds()
	}
	return values
}

func processors(samples []Sample) []float64 {
	values := make([]float64, len(samples))
	for i, sample := range samples {
		values[i] = sample.CPU.Seconds()
	}
	return values
}

// MiB converts bytes.
func MiB(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// Median returns the middle value, or the mean of the two in the middle; NaN if
// there are no values.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// MedianRatio returns the median of values[i]/base[i]. A round that only one of
// them has, or whose base is zero, doesn't count; 0 if no round does.
func MedianRatio(values, base []float64) float64 {
	var ratios []float64
	for i := range min(len(values), len(base)) {
		if base[i] > 0 {
			ratios = append(ratios, values[i]/base[i])
		}
	}
	if len(ratios) == 0 {
		return 0
	}
	return Median(ratios)
}
