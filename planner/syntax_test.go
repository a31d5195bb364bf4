package planner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner"
)

func TestSyntax(t *testing.T) {
	for text, want := range map[string]struct {
		ref     string
		foreign bool
	}{
		"FROM scratch\n": {"", false},
		"# syntax=docker/dockerfile:1\nFROM scratch\n":           {"docker/dockerfile:1", false},
		"# syntax=docker/dockerfile:1-labs\nFROM scratch\n":      {"docker/dockerfile:1-labs", true},
		"# syntax=example.com/include:1\nINCLUDE x\n":            {"example.com/include:1", true},
		"# syntax=docker/dockerfile-upstream\nFROM scratch\n":    {"docker/dockerfile-upstream", false},
		"# syntax=NOT/LOWER\nFROM scratch\n":                     {"NOT/LOWER", true},
		"#!/usr/bin/env x\n# syntax=example.com/x\nFROM scratch": {"example.com/x", true},
	} {
		t.Run(text, func(t *testing.T) {
			if ref, foreign := planner.Syntax([]byte(text), nil); ref != want.ref || foreign != want.foreign {
				t.Errorf("%q, %t; want %q, %t", ref, foreign, want.ref, want.foreign)
			}
		})
	}
	if ref, foreign := planner.Syntax([]byte("FROM scratch\n"), map[string]string{"BUILDKIT_SYNTAX": "example.com/x"}); ref != "example.com/x" || !foreign {
		t.Errorf("by argument: %q, %t", ref, foreign)
	}
}

func TestUnread(t *testing.T) {
	plan, err := planner.Unread(planner.Options{
		Platforms: parse(t, "linux/amd64,linux/arm64/v8"), Target: "app", Args: map[string]string{"A": "1"},
		Overrides: map[string]planner.Override{"linux/arm64": {Target: "other"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &planner.Plan{Jobs: []planner.Job{
		{Platform: parse(t, "linux/amd64")[0], Target: "app", Args: map[string]string{"A": "1"}},
		{Platform: parse(t, "linux/arm64")[0], Target: "other", Args: map[string]string{"A": "1"}},
	}}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
}
