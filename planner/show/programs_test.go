package show_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
	"github.com/mabuild/mabuild/planner/show"
)

func ran(name string, seconds, share float64) history.Program {
	return history.Program{Name: name, Time: time.Duration(seconds * float64(time.Second)), Share: share}
}

// programs are what QEMU ran in the commands of the inputs, by their line.
func programs(plan *exact.Result) map[digest.Digest][]history.Program {
	known := map[int][]history.Program{
		2:  {ran("node", 61, 0.94), ran("sh", 2, 0.03)},
		3:  {ran("node", 700, 0.97)},
		6:  {ran("compile", 4.8, 0.6), ran("link", 0.1, 0.01)}, // over soon
		9:  {ran("dpkg", 31, 0.41), ran("apt-get", 22, 0.3), ran("perl", 4, 0.05)},
		10: {ran("cc1", 128, 0.78), ran("as", 9.1, 0.06), ran("make", 1, 0.01)},
		13: {ran("python3.11", 3600, 1)},
		15: {ran("java\x1b[2J\u202e\n", 50, 0.5), ran(strings.Repeat("漢字", 16), 40, 0.4), ran("Größe\xff", 10, 0.1)},
		19: {ran("dpkg", 31, 0.41), ran("apt-get", 22, 0.3)},
	}
	by := make(map[digest.Digest][]history.Program)
	for _, s := range plan.Steps {
		list := known[s.Line]
		if s.State != exact.StateEmulated || list == nil {
			continue
		}
		if s.ExecPlatform == "linux/arm/v7" { // is twice as slow with one of two
			list = append([]history.Program{{Name: list[0].Name, Time: 2 * list[0].Time, Share: list[0].Share}}, list[1:]...)
		}
		by[s.ID] = list
	}
	return by
}

// tools says what there is of native tools, as a builder might.
func tools(program string) string {
	switch program {
	case "cc1", "as", "compile", "link":
		return "native where the engine has a toolbox for the base"
	case "dpkg", "apt-get":
		return "none, since they choose by the machine"
	case "perl":
		return "none, since Config and @INC tell the machine"
	case "python3.11":
		return "native with --assist=all,\nat your risk\x1b[2J"
	case "sh":
		return "never shown, the share is too small"
	case "Größe\xff":
		return "the last of many, left for the document"
	}
	return ""
}

// TestProgramsSmall holds that nothing is said of what is over soon, nor of programs
// that QEMU does not run in this plan.
func TestProgramsSmall(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		platforms string
		programs  []history.Program
		want      []string
	}{
		"over soon":    {"linux/arm64", []history.Program{ran("cc1", 4.9, 0.9)}, nil},
		"long enough":  {"linux/arm64", []history.Program{ran("cc1", 4.9, 0.9), ran("as", 0.2, 0.04)}, []string{"4.9s in cc1 (90 %)"}},
		"none":         {"linux/arm64", nil, nil},
		"native":       {"linux/amd64", []history.Program{ran("cc1", 60, 0.9)}, nil},
		"on both":      {"linux/arm64,linux/s390x", []history.Program{ran("cc1", 60, 0.9)}, []string{"1m00s in cc1 (90 %) on arm64"}},
		"no time":      {"linux/arm64", []history.Program{ran("cc1", 0, 0)}, nil},
		"small shares": {"linux/arm64", []history.Program{ran("a", 6, 0.02), ran("b", 5, 0.01)}, []string{"6.0s in a (2 %)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := plan(t, "FROM debian:12\nRUN make\n", test.platforms, everywhere)
			options := show.Options{Forecast: forecast(result, 0), Tools: func(string) string { return "" }}
			options.Forecast.Programs = make(map[digest.Digest][]history.Program)
			for _, s := range result.Steps {
				if s.State == exact.StateEmulated {
					options.Forecast.Programs[s.ID] = test.programs
				}
			}
			var got bytes.Buffer
			if err := show.Text(&got, result, options); err != nil {
				t.Fatal(err)
			}
			found := regexp.MustCompile(`(?m)\S+ in \S+ \(.*$`).FindAllString(got.String(), -1)
			if diff := cmp.Diff(test.want, found); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, got.String())
			}
		})
	}
}

// TestProgramsUnknown holds that without a forecast or words about tools there is
// nothing that looks like them.
func TestProgramsUnknown(t *testing.T) {
	t.Parallel()
	result, options := planned(t, inputs()["programs"])
	options.Tools = nil
	without := options
	without.Forecast = nil
	for words, options := range map[string]show.Options{
		`tools for|native where|"tools":`: options,
		`tools for| in cc1|"programs":`:   without,
	} {
		var got bytes.Buffer
		if err := show.Text(&got, result, options); err != nil {
			t.Fatal(err)
		}
		if err := show.JSON(&got, result, options); err != nil {
			t.Fatal(err)
		}
		e, err := exact.Explain(result, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := show.Explain(&got, e, options); err != nil {
			t.Fatal(err)
		}
		if at := regexp.MustCompile(words).FindString(got.String()); at != "" {
			t.Errorf("%q is there:\n%s", at, got.String())
		}
	}
}
