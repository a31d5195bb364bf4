package main

import (
	"strings"
	"testing"

	"github.com/containerd/platforms"

	"github.com/mabuild/mabuild/planner"
)

func TestRunPlatform(t *testing.T) {
	for name, test := range map[string]struct {
		image, wanted, native string
		want, err             string
	}{
		"native":             {"linux/amd64,linux/arm64", "", "linux/arm64", "linux/arm64", ""},
		"the only one":       {"linux/s390x", "", "linux/amd64", "linux/s390x", ""},
		"several":            {"linux/s390x,linux/arm64", "", "linux/amd64", "", "choose one with --platform: linux/s390x, linux/arm64"},
		"asked for":          {"linux/amd64,linux/arm64", "linux/arm64", "linux/amd64", "linux/arm64", ""},
		"best variant":       {"linux/arm/v6,linux/arm/v7", "linux/arm/v7", "linux/amd64", "linux/arm/v7", ""},
		"lesser variant":     {"linux/arm/v6,linux/amd64", "linux/arm/v7", "linux/amd64", "linux/arm/v6", ""},
		"not another":        {"linux/arm/v7,linux/amd64", "linux/arm64", "linux/amd64", "", "not made for linux/arm64; it has linux/arm/v7, linux/amd64"},
		"one, but not asked": {"linux/s390x", "linux/amd64", "linux/amd64", "", "not made for linux/amd64"},
		"unknown to us":      {"", "", "linux/amd64", "linux/amd64", ""},
		"unknown, asked for": {"", "linux/s390x", "linux/amd64", "linux/s390x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			image := runImage{name: "x"}
			if test.image != "" {
				list, err := planner.ParsePlatforms(test.image)
				if err != nil {
					t.Fatal(err)
				}
				image.list = list
			}
			if test.wanted != "" {
				wanted := platforms.MustParse(test.wanted)
				image.wanted = &wanted
			}
			err := image.choose(platforms.MustParse(test.native))
			switch {
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Errorf("got %v, want %q", err, test.err)
			case test.err == "" && (err != nil || image.platformName() != test.want):
				t.Errorf("got %s, %v; want %s", image.platformName(), err, test.want)
			}
		})
	}
}
