package planner

import (
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxSubstituted bounds the text that variables may add to one word. Linux
// refuses environment values over 128 KiB, so a longer one could not be used;
// without a bound, forty lines of `ARG A=$A$A` fill the memory.
const maxSubstituted = 128 << 10

// scope is the global scope of a Dockerfile for one platform: the automatic
// arguments and the ARGs before the first FROM. It satisfies shell.EnvGetter.
// Unlike shell.EnvsFromSlice it keeps the case of names on every machine,
// since the builder that reads them again is a Linux program.
type scope struct {
	values map[string]string
	spent  int // bytes handed out for the current word
}

// Get returns a value for the lexer, and nothing once the word is too long.
func (s *scope) Get(name string) (string, bool) {
	value, ok := s.values[name]
	if s.spent += len(value); s.spent > maxSubstituted {
		return "", ok
	}
	return value, ok
}

// Keys returns the names in order.
func (s *scope) Keys() []string { return slices.Sorted(maps.Keys(s.values)) }

// expand replaces the variables of one word.
func (s *scope) expand(lex *shell.Lex, word string) (shell.ProcessWordResult, error) {
	s.spent = 0
	result, err := lex.ProcessWordWithMatches(word, s)
	if err != nil {
		return result, fmt.Errorf("expanding variables: %w", err)
	}
	if s.spent > maxSubstituted {
		return result, fmt.Errorf("variables add more than %d KiB to one word; shorten the ARG", maxSubstituted>>10)
	}
	return result, nil
}

// globals builds the scope as BuildKit does: build arguments replace automatic
// arguments and the values of global ARGs; a global ARG with a default replaces
// an automatic argument of its name, whatever the platform.
func (d *dockerfile) globals(lex *shell.Lex, target ocispec.Platform, opts Options) (*scope, error) {
	s := &scope{values: automatic(target, opts.BuildPlatform, d.stageArg(opts.Target))}
	for name := range s.values {
		if value, ok := opts.Args[name]; ok {
			s.values[name] = value
		}
	}
	for _, arg := range d.args {
		if value, ok := opts.Args[arg.name]; ok {
			s.values[arg.name] = value
			continue
		}
		if arg.value == nil {
			continue
		}
		result, err := s.expand(lex, *arg.value)
		if err != nil {
			return nil, &Error{File: d.name, Line: arg.line, Err: fmt.Errorf("ARG %s: %w", arg.name, err)}
		}
		s.values[arg.name] = result.Result
	}
	return s, nil
}

// automatic returns the arguments that BuildKit sets by itself.
func automatic(target, build ocispec.Platform, stage string) map[string]string {
	return map[string]string{
		"BUILDPLATFORM":   platforms.Format(build),
		"BUILDOS":         build.OS,
		"BUILDOSVERSION":  build.OSVersion,
		"BUILDARCH":       build.Architecture,
		"BUILDVARIANT":    build.Variant,
		"TARGETPLATFORM":  platforms.FormatAll(target),
		"TARGETOS":        target.OS,
		"TARGETOSVERSION": target.OSVersion,
		"TARGETARCH":      target.Architecture,
		"TARGETVARIANT":   target.Variant,
		"TARGETSTAGE":     stage,
	}
}

// stageArg returns the value of TARGETSTAGE: the target as it was asked for.
func (d *dockerfile) stageArg(target string) string {
	if target == "" {
		target = d.stages[len(d.stages)-1].alias
	}
	if target == "" {
		target = "default"
	}
	return target
}
