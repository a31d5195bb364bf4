package planner_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mabuild/mabuild/planner"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden plans the Dockerfiles in testdata, whose comments say what they
// are about, with the line ends of both worlds.
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
			dockerfile := section(t, archive, "Dockerfile")
			opts := readOptions(t, section(t, archive, "options"))
			got := describe(t, dockerfile, opts)
			// case 15: the same file with CRLF is the same plan.
			crlf := bytes.ReplaceAll(dockerfile, []byte("\n"), []byte("\r\n"))
			if diff := cmp.Diff(got, describe(t, crlf, opts)); diff != "" {
				t.Errorf("CRLF changes the plan (-LF +CRLF):\n%s", diff)
			}
			if *update {
				archive.Files = append(archive.Files[:2], txtar.File{Name: "plan", Data: []byte(got)})
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

// TestGoldenOracle holds the same Dockerfiles against BuildKit's converter.
func TestGoldenOracle(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := section(t, archive, "Dockerfile")
			opts := readOptions(t, section(t, archive, "options"))
			plan, err := planner.Expand(text, opts)
			if err != nil {
				t.Fatal(err)
			}
			opts.BuildPlatform = platforms.Normalize(opts.BuildPlatform)
			for _, job := range plan.Jobs {
				opts.Target = job.Target // a number has become a name
				if !compare(t, string(text), opts, job.Platform) {
					t.Errorf("%s: refused", platforms.Format(job.Platform))
				}
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

func readOptions(t *testing.T, text []byte) planner.Options {
	t.Helper()
	opts := planner.Options{Args: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "platforms":
			opts.Platforms = parse(t, value)
		case "build":
			opts.BuildPlatform = parse(t, value)[0]
		case "target":
			opts.Target = value
		case "arg":
			name, value, _ := strings.Cut(value, "=")
			opts.Args[name] = value
		default:
			t.Fatalf("unknown option %q", line)
		}
	}
	return opts
}

func parse(t *testing.T, list string) []ocispec.Platform {
	t.Helper()
	parsed, err := planner.ParsePlatforms(list)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// describe writes a plan as text, with what is foreign to the build platform.
func describe(t *testing.T, dockerfile []byte, opts planner.Options) string {
	t.Helper()
	plan, err := planner.Expand(dockerfile, opts)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, job := range plan.Jobs {
		fmt.Fprintf(&b, "%s target=%q\n", platforms.FormatAll(job.Platform), job.Target)
		for _, s := range job.Stages {
			fmt.Fprintf(&b, "  stage %s: line %d FROM %s on %s", s.Name, s.Line, s.Base, platforms.FormatAll(s.Platform))
			if s.Runs() {
				fmt.Fprintf(&b, ", RUN in line %d", s.RunLine)
			}
			b.WriteString("\n")
		}
		for _, i := range job.Images {
			fmt.Fprintf(&b, "  image %s for %s: stage %s line %d\n", i.Ref, platforms.FormatAll(i.Platform), i.Stage, i.Line)
		}
	}
	for _, s := range plan.Foreign([]ocispec.Platform{opts.BuildPlatform}) {
		fmt.Fprintf(&b, "foreign: stage %s on %s\n", s.Name, platforms.FormatAll(s.Platform))
	}
	return b.String()
}
