package pin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// Mode says what a pinned stage needs besides running on the build platform.
type Mode string

// The modes.
const (
	Auto  Mode = ""      // Go for a stage that runs go build, Plain for others
	Go    Mode = "go"    // the environment of a Go cross build
	Plain Mode = "plain" // nothing: what it makes is the same for all platforms
)

// Pin is a stage to move to the build platform.
type Pin struct {
	Stage string // name, or number
	Mode  Mode
}

// Parse reads STAGE, STAGE:go or STAGE:plain.
func Parse(spec string) (Pin, error) {
	stage, mode, found := strings.Cut(spec, ":")
	p := Pin{Stage: strings.ToLower(stage), Mode: Mode(mode)}
	switch {
	case stage == "":
		return Pin{}, fmt.Errorf("reading the pin %q: the stage is missing; write STAGE, STAGE:go or STAGE:plain", spec)
	case found && p.Mode != Go && p.Mode != Plain:
		return Pin{}, fmt.Errorf("reading the pin %q: there is no mode %q; write %s:go or %s:plain", spec, mode, stage, stage)
	}
	return p, nil
}

// String is the form that Parse reads.
func (p Pin) String() string {
	if p.Mode == Auto {
		return p.Stage
	}
	return p.Stage + ":" + string(p.Mode)
}

// Environment is what a Go cross build for a platform needs.
func Environment(platform ocispec.Platform) []string {
	platform = platforms.Normalize(platform)
	env := []string{"CGO_ENABLED=0", "GOOS=" + platform.OS, "GOARCH=" + platform.Architecture}
	variant := strings.TrimPrefix(platform.Variant, "v")
	switch {
	case platform.Architecture == "arm" && variant == "":
		env = append(env, "GOARM=7")
	case platform.Architecture == "arm":
		env = append(env, "GOARM="+variant)
	case platform.Architecture == "amd64" && variant != "":
		env = append(env, "GOAMD64=v"+variant)
	}
	return env
}

// file is a Dockerfile with what edits need.
type file struct {
	lines  [][]byte // with their ends
	nodes  []*parser.Node
	stages []instructions.Stage
	escape rune
}

func parseFile(text []byte) (*file, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile: %w", err)
	}
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{SkipAll: true}))
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile: %w", err)
	}
	return &file{
		lines: bytes.SplitAfter(text, []byte("\n")), nodes: parsed.AST.Children, stages: stages, escape: parsed.EscapeToken,
	}, nil
}

// stage returns the number of the stage that a pin names.
func (f *file) stage(pin Pin) (int, error) {
	var names []string
	for i, s := range slices.Backward(f.stages) {
		if s.Name != "" && strings.EqualFold(s.Name, pin.Stage) || stageName(s, i) == pin.Stage || fmt.Sprint(i) == pin.Stage {
			return i, nil
		}
		names = append(names, stageName(s, i))
	}
	slices.Reverse(names)
	return 0, fmt.Errorf("pinning stage %q: there is none; choose one of: %s", pin.Stage, strings.Join(names, ", "))
}

func stageName(s instructions.Stage, i int) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("stage-%d", i)
}

// newline is the file's own.
func (f *file) newline() string {
	if len(f.lines) > 0 && bytes.HasSuffix(f.lines[0], []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// buildPlatform is how a pinned FROM says it.
const buildPlatform = "--platform=$BUILDPLATFORM"

// pinned reports whether a stage is on the build platform by its own words.
func pinned(s instructions.Stage) bool {
	return s.Platform == "$BUILDPLATFORM" || s.Platform == "${BUILDPLATFORM}"
}

// pinFrom edits a FROM. One that is pinned stays as it is.
func (f *file) pinFrom(i int) error {
	s := f.stages[i]
	name := stageName(s, i)
	switch {
	case pinned(s):
		return nil
	case s.Platform != "":
		return fmt.Errorf("pinning stage %s: line %d says --platform=%s; take that away", name, planner.FirstLine(s.Location), s.Platform)
	case strings.EqualFold(s.BaseName, "scratch"):
		return fmt.Errorf("pinning stage %s: it is built from scratch, which runs nothing; leave it away", name)
	case i == len(f.stages)-1:
		return fmt.Errorf("pinning stage %s: it is the last one, so that its files are the image's; pin only stages that it copies from", name)
	}
	for k, other := range f.stages {
		switch {
		case k < i && strings.EqualFold(other.Name, s.BaseName) && other.Name != "":
			return fmt.Errorf("pinning stage %s: it is built from stage %s and runs where that one runs; pin %s", name, other.Name, other.Name)
		case k > i && s.Name != "" && other.BaseName == s.Name:
			return fmt.Errorf("pinning stage %s: stage %s is built from it and would have files of the build platform, too; give %s a base of its own",
				name, stageName(other, k), stageName(other, k))
		}
	}
	line := planner.FirstLine(s.Location) - 1
	end := keywordEnd(f.lines[line], "FROM", f.escape)
	if end < 0 {
		return fmt.Errorf("pinning stage %s: line %d does not begin with FROM; write it on one line", name, line+1)
	}
	old := f.lines[line]
	f.lines[line] = slices.Concat(old[:end], []byte(" "+buildPlatform), old[end:])
	return nil
}

// keywordEnd returns where flags can be put into a line, -1 if nowhere.
func keywordEnd(line []byte, keyword string, escape rune) int {
	trimmed := bytes.TrimLeft(line, " \t\ufeff")
	if len(trimmed) <= len(keyword) || !strings.EqualFold(string(trimmed[:len(keyword)]), keyword) {
		return -1
	}
	if next := rune(trimmed[len(keyword)]); next != ' ' && next != '\t' && next != escape {
		return -1
	}
	return len(line) - len(trimmed) + len(keyword)
}
