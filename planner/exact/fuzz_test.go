package exact_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mabuild/mabuild/planner/exact"
)

// FuzzPlan holds that any text gives a plan or an error, soon, and that a plan is
// consistent in itself.
func FuzzPlan(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[2].Data, "")
	}
	f.Add([]byte("FROM base\nENV A=$A$A\nARG A=${A}${A}\nRUN --mount=type=cache,id=$A true\n"), "0")
	f.Add([]byte("# check=error=true\nFROM base AS a\nONBUILD COPY --from=a / /\nFROM a\n"), "a")
	f.Add([]byte("# escape=`\nFROM base\nRUN <<A <<B\nA\nB\nADD --checksum=x https://x /\nHEALTHCHECK NONE\n"), "")
	if text, err := os.ReadFile("../../examples/go-cross/Dockerfile"); err == nil {
		f.Add(text, "build")
	}
	var images strings.Builder
	for _, name := range []string{"base", "golang:1.26", "a", "b", "tools", "debian", "node:22"} {
		images.WriteString("index " + name + " linux/amd64,linux/arm64\n")
	}
	registry := parseRegistry(f, images.String())
	f.Fuzz(func(t *testing.T, text []byte, target string) {
		opts := options(t, string(text))
		opts.Resolver, opts.Target = registry, target
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("planning takes too long"))
		defer cancel()
		result, err := exact.Plan(ctx, opts)
		if ctx.Err() != nil {
			t.Fatal(context.Cause(ctx))
		}
		if err != nil {
			if strings.Contains(err.Error(), "reading an operation") {
				t.Fatal(err)
			}
			return
		}
		check(t, result, text)
	})
}

func check(t *testing.T, r *exact.Result, text []byte) {
	t.Helper()
	if _, err := parser.Parse(strings.NewReader(string(text))); err != nil {
		t.Fatalf("a plan for what BuildKit does not parse: %v", err)
	}
	lines := strings.Count(string(text), "\n") + 1
	ids := make(map[string]bool)
	for _, s := range r.Steps {
		ids[s.ID.String()] = true
	}
	for _, s := range r.Steps {
		if len(s.Platforms) == 0 || len(s.Digests) == 0 || s.Line > lines || s.Shared != (len(s.Platforms) > 1) {
			t.Errorf("bad step %+v", s)
		}
		if (s.Kind == "exec") != (s.State != "") || s.State != "" && s.ExecPlatform == "" {
			t.Errorf("bad state of step %+v", s)
		}
		for _, input := range s.Inputs {
			if !ids[input.String()] {
				t.Errorf("step %+v has an unknown input", s)
			}
		}
	}
	for _, f := range r.Findings {
		if f.Message == "" || f.Fix == "" && f.URL == "" || len(f.Platforms) == 0 || f.Line > lines {
			t.Errorf("bad finding %+v", f)
		}
	}
}
