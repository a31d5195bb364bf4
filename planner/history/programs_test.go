package history_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
)

func program(name string, seconds, share float64) history.Program {
	return history.Program{Name: name, Time: time.Duration(seconds * float64(time.Second)), Share: share}
}

// What a container calls its programs, and how many it has, costs no record.
func TestStorePrograms(t *testing.T) {
	cc1, as := program("cc1", 128, 0.78), program("as", 9.1, 0.06)
	many := make([]history.Program, 500)
	for i := range many {
		many[i] = program(fmt.Sprint("p", i), float64(i), 0.01)
	}
	for name, test := range map[string]struct{ programs, want []history.Program }{
		"none":        {nil, nil},
		"two":         {[]history.Program{cc1, as}, []history.Program{cc1, as}},
		"most first":  {[]history.Program{as, cc1}, []history.Program{cc1, as}},
		"many":        {many, []history.Program{many[499], many[498], many[497]}},
		"rounded":     {[]history.Program{program("a", 1.2345678, 0.12345)}, []history.Program{program("a", 1.234, 0.12)}},
		"no name":     {[]history.Program{program("", 1, 1), as}, []history.Program{as}},
		"blank":       {[]history.Program{program(" \t", 1, 1), program(" ", 1, 1), program(" a ", 1, 1)}, []history.Program{program("?", 1, 1), program("a", 1, 1)}},
		"no time":     {[]history.Program{program("a", 0, 0), program("b", -1, 0), program("c", 0.0001, 0), as}, []history.Program{as}},
		"beyond all":  {[]history.Program{{Name: "a", Time: math.MaxInt64, Share: math.Inf(1)}}, []history.Program{program("a", 30*24*3600, 1)}},
		"no number":   {[]history.Program{program("a", 1, math.NaN()), program("b", 1, -5)}, []history.Program{program("a", 1, 0), program("b", 1, 0)}},
		"control":     {[]history.Program{program("a\x1b[2J\nb\x00", 1, 1)}, []history.Program{program("a?[2J?b?", 1, 1)}},
		"right left":  {[]history.Program{program("a\u202eb", 1, 1)}, []history.Program{program("a?b", 1, 1)}},
		"no UTF-8":    {[]history.Program{program("a\xff\xfeb", 1, 1)}, []history.Program{program("a?b", 1, 1)}},
		"long":        {[]history.Program{program(strings.Repeat("x", 300), 1, 1)}, []history.Program{program(strings.Repeat("x", 64), 1, 1)}},
		"long runes":  {[]history.Program{program(strings.Repeat("ü漢", 30), 1, 1)}, []history.Program{program(strings.Repeat("ü漢", 12)+"ü", 1, 1)}},
		"JSON's own":  {[]history.Program{program(`<"\&>`, 1, 1)}, []history.Program{program(`<"\&>`, 1, 1)}},
		"other words": {[]history.Program{program("Web Content", 1, 1)}, []history.Program{program("Web Content", 1, 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := history.Store{Dir: t.TempDir()}
			r := record("a", 1)
			r.Runs[0].Programs = test.programs
			if err := s.Append("p", r); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, load(t, s, "p")[0].Runs[0].Programs, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Names that JSON makes six times as long do not make lines that nobody reads.
func TestStoreLongPrograms(t *testing.T) {
	s := history.Store{Dir: t.TempDir()}
	r := record("a", 130)
	for i := range r.Runs {
		for k := range 3 {
			r.Runs[i].Programs = append(r.Runs[i].Programs, program(strings.Repeat("<", 63)+fmt.Sprint(k), float64(9-k), 0.3))
		}
	}
	if err := s.Append("p", r); err != nil {
		t.Fatal(err)
	}
	var got []history.Run
	for _, r := range load(t, s, "p") {
		got = append(got, r.Runs...)
	}
	if diff := cmp.Diff(r.Runs, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Lines from before there were programs are read as ever, and programs that nobody
// writes make a line that is not.
func TestStoreForeignPrograms(t *testing.T) {
	const line = `{"v":1,"time":1,"build":"x","builder":"engine","cpus":2,"steps":[{"id":"sha256:%s","instruction":"i","platform":"linux/arm64","emulated":true,"ms":5%s}]}`
	one := `{"name":"cc1","ms":4,"percent":80}`
	for text, want := range map[string]int{
		``:                          1,
		`,"programs":[]`:            1,
		`,"programs":null`:          1,
		`,"programs":[` + one + `]`: 1,
		`,"programs":[{"name":"cc1","ms":4,"later":true}]`:                1,
		`,"programs":[` + strings.Repeat(one+",", 3) + one + `]`:          0,
		`,"programs":[{"name":"","ms":4}]`:                                0,
		`,"programs":[{"name":"a\u001bb","ms":4}]`:                        0,
		`,"programs":[{"name":"` + strings.Repeat("x", 65) + `","ms":4}]`: 0,
		`,"programs":[{"name":"cc1","ms":-4}]`:                            0,
		`,"programs":[{"name":"cc1","ms":31536000000}]`:                   0,
		`,"programs":[{"name":"cc1","ms":4,"percent":101}]`:               0,
		`,"programs":[{"name":"cc1","ms":4,"percent":-1}]`:                0,
		`,"programs":"cc1"`: 0,
	} {
		t.Run(text, func(t *testing.T) {
			s := history.Store{Dir: t.TempDir()}
			if err := s.Append("p", record("mine", 1)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file(t, s), fmt.Appendf(nil, line+"\n", strings.Repeat("a", 64), text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := len(load(t, s, "p")); got != want {
				t.Errorf("%d records, want %d", got, want)
			}
		})
	}
}

func TestForecastPrograms(t *testing.T) {
	step, other := emulated("a", "make"), emulated("other", "make") // after something else
	elsewhere := run("s390x", "make", "linux/s390x", exact.StateEmulated, []string{"linux/arm64"})
	cc1, as, sh := []history.Program{program("cc1", 5, 0.5)}, []history.Program{program("as", 5, 0.5)}, []history.Program{program("sh", 5, 0.5)}
	type sampled struct {
		step     exact.Step
		builder  string
		programs []history.Program
	}
	for name, test := range map[string]struct {
		past []sampled
		step exact.Step
		want []history.Program
	}{
		"exact":                       {[]sampled{{step, "engine", cc1}}, step, cc1},
		"newest":                      {[]sampled{{step, "engine", as}, {step, "engine", cc1}}, step, cc1},
		"newest says nothing":         {[]sampled{{step, "engine", as}, {step, "engine", nil}}, step, nil},
		"exact before similar":        {[]sampled{{step, "engine", cc1}, {other, "engine", as}}, step, cc1},
		"similar":                     {[]sampled{{other, "engine", as}, {elsewhere, "engine", cc1}}, step, as},
		"of another platform":         {[]sampled{{elsewhere, "engine", cc1}}, step, nil},
		"own builder":                 {[]sampled{{step, "engine", cc1}, {step, "node", as}}, step, cc1},
		"another builder":             {[]sampled{{step, "node", as}, {step, "node", cc1}}, step, cc1},
		"native now":                  {[]sampled{{other, "engine", cc1}}, native("n", "make"), nil},
		"on a native host now":        {[]sampled{{step, "engine", cc1}}, run("a", "make", "linux/arm64", exact.StateNative, []string{"linux/arm64"}), nil},
		"native then":                 {[]sampled{{native("n", "make"), "engine", sh}}, step, nil},
		"native since":                {[]sampled{{step, "engine", cc1}, {native("n", "make"), "engine", sh}}, step, cc1},
		"exact, but on a native host": {[]sampled{{run("a", "make", "linux/arm64", exact.StateNative, []string{"linux/arm64"}), "engine", sh}, {other, "engine", as}}, step, as},
	} {
		t.Run(name, func(t *testing.T) {
			s := history.Store{Dir: t.TempDir()}
			for i, p := range test.past {
				ran := history.RunOf(p.step, time.Minute)
				ran.Programs = p.programs
				r := history.Record{Time: time.Unix(int64(i), 0), Build: fmt.Sprint(i), Builder: p.builder, CPUs: 2, Runs: []history.Run{ran}}
				if err := s.Append("p", r); err != nil {
					t.Fatal(err)
				}
			}
			p, err := s.Load("p")
			if err != nil {
				t.Fatal(err)
			}
			var want map[digest.Digest][]history.Program
			if test.want != nil {
				want = map[digest.Digest][]history.Program{test.step.ID: test.want}
			}
			f := p.Forecast(planOf(test.step), history.ForecastOptions{Builder: "engine"})
			if f == nil {
				t.Fatal("there is no forecast")
			}
			if diff := cmp.Diff(want, f.Programs); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
