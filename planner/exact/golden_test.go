package exact_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mabuild/mabuild/planner/exact"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden plans the Dockerfiles in testdata, whose comments say what they are
// about, with the line ends of both worlds.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			opts := readOptions(t, section(t, archive, "options"))
			opts.Dockerfile = section(t, archive, "Dockerfile")
			opts.Resolver = parseRegistry(t, string(section(t, archive, "images")))
			got := describe(plan(t, opts))
			// case 15: the same file with CRLF is the same plan.
			opts.Dockerfile = bytes.ReplaceAll(opts.Dockerfile, []byte("\n"), []byte("\r\n"))
			if diff := cmp.Diff(got, describe(plan(t, opts))); diff != "" {
				t.Errorf("CRLF changes the plan (-LF +CRLF):\n%s", diff)
			}
			if *update {
				archive.Files = append(archive.Files[:3], txtar.File{Name: "plan", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(section(t, archive, "plan")), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func section(t *testing.T, archive *txtar.Archive, name string) []byte {
	t.Helper()
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("no section %q; run the test with -update", name)
	}
	return archive.Files[i].Data
}

func readOptions(t *testing.T, text []byte) exact.Options {
	t.Helper()
	opts := exact.Options{Args: map[string]string{}, NamedContexts: map[string]string{}, BuildPlatform: list(t, "linux/amd64")[0]}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, rest, _ := strings.Cut(value, "=")
		switch key {
		case "platforms":
			opts.Platforms = list(t, value)
		case "native":
			opts.Native = list(t, value)
		case "target":
			opts.Target = value
		case "arg":
			opts.Args[name] = rest
		case "context":
			opts.NamedContexts[name] = rest
		case "all-stages":
			opts.AllStages = true
		default:
			t.Fatalf("unknown option %q", line)
		}
	}
	return opts
}

func plan(t testing.TB, opts exact.Options) *exact.Result {
	t.Helper()
	result, err := exact.Plan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// describe writes a result as text, without digests.
func describe(r *exact.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "platforms %s on %s, target %q", strings.Join(r.Platforms, " "), r.BuildPlatform, r.Target)
	if r.Syntax != "" {
		fmt.Fprintf(&b, ", syntax %s, approximate %t", r.Syntax, r.Approximate)
	}
	b.WriteString("\n")
	for _, s := range r.Stages {
		fmt.Fprintf(&b, "stage %s: line %d FROM %s\n", s.Name, s.Line, s.Base)
		for _, platform := range slices.Sorted(maps.Keys(s.ExecPlatform)) {
			fmt.Fprintf(&b, "  for %s on %s\n", platform, s.ExecPlatform[platform])
		}
		for _, e := range s.Edges {
			fmt.Fprintf(&b, "  %s line %d: stage %q image %q for %s\n", e.Kind, e.Line, e.Stage, e.Image, strings.Join(e.Platforms, " "))
		}
	}
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "L%d-%d %s %s %s: %s", s.Line, s.EndLine, s.Stage, s.Kind, s.Instruction, strings.Join(s.Platforms, " "))
		if s.ExecPlatform != "" {
			fmt.Fprintf(&b, " on %s %s", s.ExecPlatform, s.State)
		}
		for _, place := range s.Also {
			fmt.Fprintf(&b, ", also L%d %s", place.Line, place.Stage)
		}
		fmt.Fprintf(&b, " | %s\n", withoutDigest(s.Command))
	}
	for _, base := range r.Bases {
		fmt.Fprintf(&b, "base %s: has %s, error %v\n", base.Ref, strings.Join(base.Platforms, " "), base.Err)
		for _, platform := range slices.Sorted(maps.Keys(base.Match)) {
			fmt.Fprintf(&b, "  %s %s\n", platform, base.Match[platform])
		}
	}
	for _, f := range r.Findings {
		b.WriteString(describeFinding(f))
	}
	return b.String()
}

func describeFinding(f exact.Finding) string {
	return fmt.Sprintf("%s %s:%d %s [%s] %s: %s\n  fix: %s\n", f.Level, f.File, f.Line, f.Rule, f.Stage, strings.Join(f.Platforms, " "), withoutDigest(f.Message), f.Fix)
}

func withoutDigest(text string) string {
	before, _, _ := strings.Cut(strings.TrimSuffix(text, "\r"), "@sha256:")
	return before
}
