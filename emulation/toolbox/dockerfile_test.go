package toolbox_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

var update = flag.Bool("update", false, "write the golden files")

func TestDockerfile(t *testing.T) {
	for name, recipe := range map[string]toolbox.Recipe{
		"trixie-arm64":         {Suite: "trixie", Base: "debian:trixie@sha256:0000000000000000000000000000000000000000000000000000000000000000", Platform: "linux/arm64", Host: "amd64"},
		"trixie-armv7":         {Suite: "trixie", Base: "debian:trixie-slim", Platform: "linux/arm/v7", Host: "amd64"},
		"trixie-install-arm64": {Suite: "trixie-install", Base: "debian:trixie-slim", Platform: "linux/arm64", Host: "amd64", Fresh: "2026-07-01"},
		"trixie-base-arm64":    {Suite: "trixie-base", Base: "debian:trixie@sha256:0000000000000000000000000000000000000000000000000000000000000000", Platform: "linux/arm64", Host: "amd64"},
		"noble-arm64":          {Suite: "noble", Base: "ubuntu:24.04", Platform: "linux/arm64", Host: "amd64", OptIn: true, Fresh: "2026-07-01"},
		"go-arm64":             {Suite: "go1.26.8", Base: "golang:1.26", Platform: "linux/arm64", Host: "amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := recipe.Dockerfile()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(bytes.NewReader([]byte(got))); err != nil {
				t.Errorf("BuildKit cannot read it: %v", err)
			}
			golden := filepath.Join("testdata", name+".Dockerfile")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDockerfileFresh(t *testing.T) {
	recipe := toolbox.Recipe{Suite: "trixie", Base: "debian", Platform: "linux/arm64", Host: "amd64", Fresh: "x\nRUN evil"}
	if text, err := recipe.Dockerfile(); err == nil {
		t.Error(text)
	}
}

func TestDockerfileRefused(t *testing.T) {
	for name, recipe := range map[string]toolbox.Recipe{
		"unknown suite":        {Suite: "woody", Base: "debian", Platform: "linux/arm64", Host: "amd64"},
		"unknown architecture": {Suite: "trixie", Base: "debian", Platform: "linux/vax", Host: "amd64"},
		"unknown host":         {Suite: "trixie", Base: "debian", Platform: "linux/arm64", Host: "vax"},
		"names of users":       {Suite: "bullseye-base", Base: "debian:11", Platform: "linux/arm64", Host: "amd64"},
		"dates of 32 bits":     {Suite: "bookworm-base", Base: "debian", Platform: "linux/arm/v7", Host: "amd64"},
		"another release":      {Suite: "noble", Base: "ubuntu:24.04", Platform: "linux/s390x", Host: "amd64"},
		"armel":                {Suite: "trixie", Base: "debian", Platform: "linux/arm/v6", Host: "amd64"},
		"never compared":       {Suite: "trixie", Base: "debian", Platform: "linux/ppc64le", Host: "amd64"},
		"native":               {Suite: "trixie", Base: "debian", Platform: "linux/amd64", Host: "amd64"},
		"no image":             {Suite: "trixie", Platform: "linux/arm64", Host: "amd64"},
		"more than an image":   {Suite: "trixie", Base: "debian\nRUN evil", Platform: "linux/arm64", Host: "amd64"},
		"a variable":           {Suite: "trixie", Base: "$BASE", Platform: "linux/arm64", Host: "amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := recipe.Dockerfile(); !errors.Is(err, toolbox.ErrUnsuited) {
				t.Errorf("got %v and\n%s", err, text)
			}
		})
	}
}
