package history_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner/history"
)

// Whatever is in the file, it can be read, and added to.
func FuzzLoad(f *testing.F) {
	s := history.Store{Dir: f.TempDir()}
	if err := s.Append("seed", record("a", 3)); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(file(f, s))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Add(append(bytes.Repeat([]byte("\n"), 10), seed...))
	f.Add(bytes.Replace(seed, []byte(`"ms":1`), []byte(`"ms":1,"programs":[{"name":"cc1","ms":4,"percent":80},{"name":"a\u001b","ms":-1}]`), 1))
	f.Add([]byte(`{"v":1,"steps":null}` + "\n[]\n\"\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := history.Store{Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(s.Dir, "p.jsonl"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		before := load(t, s, "p")
		for _, r := range before {
			for _, run := range r.Runs {
				if run.Duration < 0 || run.ID.Validate() != nil || run.Instruction == "" || run.ExecPlatform == "" {
					t.Errorf("run %+v", run)
				}
				for _, p := range run.Programs {
					if p.Name == "" || len(p.Name) > 64 || p.Time < 0 || p.Share < 0 || p.Share > 1 || len(run.Programs) > 3 {
						t.Errorf("program %+v", p)
					}
				}
			}
		}
		want := record("mine", 2)
		if err := s.Append("p", want); err != nil {
			t.Fatal(err)
		}
		after := load(t, s, "p")
		if len(after) == 0 || !cmp.Equal(after[len(after)-1], want) {
			t.Errorf("the record is lost: %+v", after)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s := history.Store{Dir: b.TempDir()}
	for i := range b.N {
		if err := s.Append("p", record(fmt.Sprint(i), 5)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	s := history.Store{Dir: b.TempDir()}
	for i := range 200 {
		if err := s.Append("p", record(fmt.Sprint(i), 10)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load("p"); err != nil {
			b.Fatal(err)
		}
	}
}
