package show_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/pin"
	"github.com/mabuild/mabuild/planner/show"
)

// FuzzShow holds that whatever can be planned can be shown and explained: pictures
// are XML, documents are JSON, screens fit.
func FuzzShow(f *testing.F) {
	for _, in := range inputs() {
		if len(in.dockerfile) < 4000 {
			f.Add([]byte(in.dockerfile), 3)
		}
	}
	f.Add([]byte("FROM alpine AS \"a<b\"\nFROM a<b\nRUN <<A\n<&>\x00\nA\nCOPY --from=a<b /]]> /-->\n"), 4)
	f.Add([]byte("FROM alpine AS a\nFROM alpine AS A\nFROM a AS a\nCOPY --from=A / /\nRUN --mount=from=a,target=/x true\n"), 5)
	platforms := parse(f, "linux/amd64,linux/arm64,linux/arm/v7")
	f.Fuzz(func(t *testing.T, text []byte, line int) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("planning takes too long"))
		defer cancel()
		result, err := exact.Plan(ctx, exact.Options{Dockerfile: text, Platforms: platforms, BuildPlatform: platforms[0], Resolver: registry(everywhere)})
		if err != nil {
			return
		}
		options := show.Options{File: "Dockerfile", Width: 80, Forecast: forecast(result, 2), Assists: assists(result)}
		options.Forecast.Programs, options.Tools = programs(result), tools
		if options.Pins, err = pin.Candidates(result, text); err != nil {
			t.Error(err)
		}
		for _, write := range []func(*bytes.Buffer) error{
			func(b *bytes.Buffer) error { return show.JSON(b, result, options) },
			func(b *bytes.Buffer) error { return show.SARIF(b, result, options) },
		} {
			var b bytes.Buffer
			if err := write(&b); err != nil || !json.Valid(b.Bytes()) {
				t.Errorf("bad JSON: %v\n%s", err, b.Bytes())
			}
		}
		var screen, graph bytes.Buffer
		if err := show.Text(&screen, result, options); err != nil {
			t.Error(err)
		}
		if err := show.DOT(&graph, result, options); err != nil {
			t.Error(err)
		}
		var picture bytes.Buffer
		if err := show.SVG(&picture, result, options); err == nil {
			wellFormed(t, picture.Bytes())
		} else if !strings.Contains(err.Error(), "leave some out") {
			t.Error(err)
		}
		for _, at := range []int{line, 1, 2, 3, 4, 5} {
			if e, err := exact.Explain(result, at); err == nil {
				err = show.Explain(&screen, e, options)
				if err != nil {
					t.Error(err)
				}
			}
		}
		if bytes.ContainsAny(screen.Bytes(), "\x00\x1b\r") {
			t.Errorf("the screen has control characters: %q", screen.Bytes())
		}
	})
}
