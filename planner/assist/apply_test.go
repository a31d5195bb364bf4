package assist_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner/assist"
)

// TestApply is the text that is sent.
func TestApply(t *testing.T) {
	const flag = "--mount=type=bind,from=mabuild-assist-go,source=/usr/local/go/pkg/tool/linux_amd64,target=/usr/local/go/pkg/tool/linux_arm64"
	w := usual(t)
	tests := []struct{ name, text, want string }{
		{"plain", "FROM golang:1.26\nRUN go build\n", "FROM golang:1.26\nRUN FLAG go build\n"},
		{"no newline at the end", "FROM golang:1.26\nRUN go build", "FROM golang:1.26\nRUN FLAG go build"},
		{"flags", "FROM golang:1.26\nRUN --network=none --mount=type=tmpfs,target=/t \\\n go build\n", "FROM golang:1.26\nRUN FLAG --network=none --mount=type=tmpfs,target=/t \\\n go build\n"},
		{"lower case, indented, tab", "FROM golang:1.26\n  run\tgo build\n", "FROM golang:1.26\n  run FLAG\tgo build\n"},
		{"continued at once", "FROM golang:1.26\nRUN \\\n# why\n  go build\n", "FROM golang:1.26\nRUN FLAG \\\n# why\n  go build\n"},
		{"continued without a space", "FROM golang:1.26\nRUN\\\n  go build\n", "FROM golang:1.26\nRUN FLAG\\\n  go build\n"},
		{"escape", "# escape=`\nFROM golang:1.26\nRUN`\n  go build\n", "# escape=`\nFROM golang:1.26\nRUN FLAG`\n  go build\n"},
		{"heredoc", "FROM golang:1.26\nRUN <<E\nRUN go build\ngo build\nE\n", "FROM golang:1.26\nRUN FLAG <<E\nRUN go build\ngo build\nE\n"},
		{"carriage returns", "FROM golang:1.26\r\nRUN go build\r\nRUN go vet\r\n", "FROM golang:1.26\r\nRUN FLAG go build\r\nRUN FLAG go vet\r\n"},
		{"name taken", "FROM golang:1.26 AS mabuild-assist-go\nRUN go build\n", "FROM golang:1.26 AS mabuild-assist-go\nRUN FLAG-2 go build\n"},
		{"twice in the plan", "FROM golang:1.26 AS a\nRUN go build\nFROM golang:1.26\nRUN go build\nCOPY --from=a x y\n", "FROM golang:1.26 AS a\nRUN FLAG go build\nFROM golang:1.26\nRUN FLAG go build\nCOPY --from=a x y\n"},
		{"ONBUILD", "FROM golang:1.26\nONBUILD RUN go build\nRUN go vet\n", "FROM golang:1.26\nONBUILD RUN go build\nRUN FLAG go vet\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan, result := planOf(t, w, test.text, "linux/amd64,linux/arm64", nil)
			edit, err := result.Apply("linux/arm64")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(test.want, "FLAG-2", strings.Replace(flag, "assist-go", "assist-go-2", 1))
			if diff := cmp.Diff(strings.ReplaceAll(want, "FLAG", flag), string(edit.Text)); diff != "" {
				t.Errorf("wrong text (-want +got):\n%s", diff)
			}
			for _, job := range plan.Platforms {
				edit, err := result.Apply(job)
				if err != nil {
					t.Fatal(err)
				}
				checkEdit(t, plan, result, job, edit, w)
			}
			if got := assist.StepName(string(edit.Text)); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(test.text), " ") && !strings.Contains(test.name, "without a space") && test.name != "escape" {
				t.Errorf("without what was added, it is %q", got)
			}
			native, err := result.Apply("linux/amd64")
			if err != nil || native.Changed || string(native.Text) != test.text || len(native.Contexts) > 0 {
				t.Errorf("the file for amd64 is changed: %v", err)
			}
		})
	}
}

// TestSharedEmulated has a stage that is emulated for every job: all of them get
// the same mounts, so that it runs once.
func TestSharedEmulated(t *testing.T) {
	const text = "FROM --platform=linux/arm64 golang:1.26 AS a\nRUN go build\nFROM debian\nCOPY --from=a /x /x\n"
	_, result := planOf(t, usual(t), text, "linux/amd64,linux/arm64", nil)
	first, err := result.Apply("linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	second, err := result.Apply("linux/arm64")
	if err != nil {
		t.Fatal(err)
	}
	if !first.Changed || !bytes.Equal(first.Text, second.Text) || !cmp.Equal(first.Contexts, second.Contexts) {
		t.Errorf("the jobs get different files:\n%s%s", first.Text, second.Text)
	}
}

// TestCache proves a pair once.
func TestCache(t *testing.T) {
	w, dir := usual(t), t.TempDir()
	planOf(t, w, "FROM golang:1.26\nRUN go build\nRUN go vet\n", "linux/arm64", nil)
	if n := w.opens.Swap(0); n != 4 {
		t.Errorf("without a cache, %d layers were read, want 4", n)
	}
	cached := func(o *assist.Options) { o.Cache = filepath.Join(dir, "proofs") }
	const text = "FROM golang:1.26\nRUN go build\nRUN go vet\n"
	planOf(t, w, text, "linux/arm64", cached)
	opens := w.opens.Load()
	if opens != 4 { // two layers each; the first one is not needed
		t.Errorf("%d layers were read, want 4", opens)
	}
	_, result := planOf(t, w, text, "linux/arm64", cached)
	if w.opens.Load() != opens || !result.Assisted() {
		t.Errorf("%d layers were read again:\n%s", w.opens.Load()-opens, decisions(result))
	}
	files, err := filepath.Glob(filepath.Join(dir, "proofs", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the cache has %q (%v), want one file", files, err)
	}
	// A file that does not say what it is about is none.
	write(t, files[0], `{"Version":1,"Recipe":"go"}`)
	planOf(t, w, text, "linux/arm64", cached)
	if w.opens.Load() != 2*opens {
		t.Error("a broken proof was believed")
	}
}

func TestParse(t *testing.T) {
	for list, want := range map[string]string{"": "[go]", "on": "[go]", "off": "[]", "go,java": "[go java]", " java": "[java]", "java,java": "[java]"} {
		recipes, err := assist.Parse(list)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, r := range recipes {
			names = append(names, r.Name())
		}
		if fmt.Sprint(names) != want {
			t.Errorf("%q means %v, want %s", list, names, want)
		}
	}
	if _, err := assist.Parse("rust"); err == nil || !strings.Contains(err.Error(), "go and java") {
		t.Errorf("the error does not say what there is: %v", err)
	}
}
