package report_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/bench/report"
)

var update = flag.Bool("update", false, "write the golden files")

func rows() []report.Row {
	return []report.Row{
		{Case: "warm", Tool: "mabuild", Median: 0.4321, Min: 0.4, Max: 12.5, PeakMiB: 41.27, Ratio: 0.5},
		{Case: "warm", Tool: "buildx", Median: 0.86, Min: 0.8, Max: 0.9, PeakMiB: 88, Ratio: 1},
		{Case: "engine start", Tool: "mabuild", Median: 0.25, Min: 0.2, Max: 0.3},
		{Case: "binary size", Tool: "mabuild", PeakMiB: 35.5},
	}
}

func TestGolden(t *testing.T) {
	for _, test := range []struct {
		name  string
		write func(io.Writer, []report.Row) error
	}{
		{"table.txt", report.WriteTable},
		{"rows.json", report.WriteJSON},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := test.write(&got, rows()); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", test.name)
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestWriteBeside(t *testing.T) {
	var got bytes.Buffer
	if err := report.WriteBeside(&got, rows()); err != nil || got.Len() > 0 {
		t.Errorf("without comparisons: %q, %v", got.String(), err)
	}
	compared := rows()
	compared[0].Beside = []report.Beside{{Tool: "buildx", Ratio: 0.1234, Added: -3.5, CPU: 0.25}, {Tool: "plain", Ratio: 1.5, Added: 0.0321}}
	if err := report.WriteBeside(&got, compared); err != nil {
		t.Fatal(err)
	}
	const want = "\nwarm: mabuild takes 0.123 of the time of buildx (-3.500 s), 0.250 of its processors' time\nwarm: mabuild takes 1.500 of the time of plain (+0.032 s)\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("comparisons (-want +got):\n%s", diff)
	}
	if err := report.WriteBeside(full{}, compared); !errors.Is(err, errFull) {
		t.Errorf("on a full disk: %v, want %v", err, errFull)
	}
}

func TestWriteJSONOfNothing(t *testing.T) {
	var got bytes.Buffer
	if err := report.WriteJSON(&got, nil); err != nil {
		t.Fatal(err)
	}
	if got.String() != "[]\n" {
		t.Errorf("no rows are %q, want an empty array", got.String())
	}
}

func TestWriteErrors(t *testing.T) {
	for name, write := range map[string]func(io.Writer, []report.Row) error{
		"table": report.WriteTable, "JSON": report.WriteJSON,
	} {
		if err := write(full{}, rows()); !errors.Is(err, errFull) {
			t.Errorf("%s on a full disk: %v, want %v", name, err, errFull)
		}
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func ExampleWriteTable() {
	_ = report.WriteTable(os.Stdout, []report.Row{
		{Case: "warm", Tool: "mabuild", Median: 0.4, Min: 0.4, Max: 0.5, PeakMiB: 41, Ratio: 0.5},
		{Case: "warm", Tool: "buildx", Median: 0.8, Min: 0.8, Max: 0.9, PeakMiB: 88, Ratio: 1},
	})
	// Output:
	// CASE  TOOL     MEDIAN s  MIN s  MAX s  PEAK MiB  RATIO
	// warm  mabuild     0.400  0.400  0.500      41.0   0.50
	//       buildx      0.800  0.800  0.900      88.0   1.00
}
