package show

import (
	"encoding/json"
	"io"

	"github.com/mabuild/mabuild/planner/exact"
)

// document is the JSON form of a plan. Fields are added, never renamed.
type document struct {
	Version     int          `json:"version"`
	Dockerfile  dockerfile   `json:"dockerfile"`
	Builder     builder      `json:"builder"`
	Platforms   []string     `json:"platforms"`
	Stages      []stage      `json:"stages"`
	Steps       []step       `json:"steps"`
	Bases       []base       `json:"bases"`
	Diagnostics []diagnostic `json:"diagnostics"`
}

type dockerfile struct {
	Path        string `json:"path"`
	Target      string `json:"target,omitempty"`
	Syntax      string `json:"syntax,omitempty"`
	Approximate bool   `json:"approximate"`
}

type builder struct {
	BuildPlatform string   `json:"buildPlatform"`
	Emulated      []string `json:"emulated"`
}

type stage struct {
	Name   string            `json:"name"`
	Line   int               `json:"line"`
	Base   string            `json:"base"`
	ExecOn map[string]string `json:"execOn"`
	Needs  []need            `json:"needs"`
}

type need struct {
	Kind      exact.EdgeKind `json:"kind"`
	Stage     string         `json:"stage,omitempty"`
	Image     string         `json:"image,omitempty"`
	Line      int            `json:"line"`
	Platforms []string       `json:"platforms"`
}

type step struct {
	ID           string   `json:"id"`
	Kind         string   `json:"kind"`
	Stage        string   `json:"stage,omitempty"`
	Line         int      `json:"line,omitempty"`
	Instruction  string   `json:"instruction,omitempty"`
	Command      string   `json:"command,omitempty"`
	Platforms    []string `json:"platforms"`
	ExecPlatform string   `json:"execPlatform,omitempty"`
	State        string   `json:"state,omitempty"`
	Shared       bool     `json:"shared"`
	Inputs       []string `json:"inputs"`
}

type base struct {
	Ref       string            `json:"ref"`
	Digest    string            `json:"digest,omitempty"`
	MediaType string            `json:"mediaType,omitempty"`
	Platforms []string          `json:"platforms"`
	Match     map[string]string `json:"match"`
	Error     string            `json:"error,omitempty"`
}

type diagnostic struct {
	Rule      string      `json:"rule"`
	Level     exact.Level `json:"level"`
	Platforms []string    `json:"platforms"`
	File      string      `json:"file"`
	Line      int         `json:"line"`
	Stage     string      `json:"stage,omitempty"`
	Message   string      `json:"message"`
	Fix       string      `json:"fix,omitempty"`
}

// JSON writes all of a plan.
func JSON(w io.Writer, plan *exact.Result, opts Options) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(newDocument(plan, opts))
}

func newDocument(plan *exact.Result, opts Options) document {
	d := document{
		Version:    1,
		Dockerfile: dockerfile{Path: opts.File, Target: plan.Target, Syntax: plan.Syntax, Approximate: plan.Approximate},
		Builder:    builder{BuildPlatform: plan.BuildPlatform, Emulated: list(view{plan: plan}.emulatedPlatforms())},
		Platforms:  list(plan.Platforms),
		Stages:     []stage{}, Steps: []step{}, Bases: []base{}, Diagnostics: []diagnostic{},
	}
	for _, s := range plan.Stages {
		entry := stage{Name: s.Name, Line: s.Line, Base: s.Base, ExecOn: s.ExecPlatform, Needs: []need{}}
		for _, e := range s.Edges {
			entry.Needs = append(entry.Needs, need{Kind: e.Kind, Stage: e.Stage, Image: e.Image, Line: e.Line, Platforms: list(e.Platforms)})
		}
		d.Stages = append(d.Stages, entry)
	}
	for _, s := range plan.Steps {
		entry := step{
			ID: s.ID.String(), Kind: s.Kind, Stage: s.Stage, Line: s.Line, Instruction: s.Instruction, Command: s.Command,
			Platforms: list(s.Platforms), ExecPlatform: s.ExecPlatform, State: string(s.State), Shared: s.Shared, Inputs: []string{},
		}
		for _, input := range s.Inputs {
			entry.Inputs = append(entry.Inputs, input.String())
		}
		d.Steps = append(d.Steps, entry)
	}
	for _, b := range plan.Bases {
		entry := base{Ref: b.Ref, Digest: b.Digest.String(), MediaType: b.MediaType, Platforms: list(b.Platforms), Match: map[string]string{}}
		for platform, match := range b.Match {
			entry.Match[platform] = string(match)
		}
		if b.Err != nil {
			entry.Error = b.Err.Error()
		}
		d.Bases = append(d.Bases, entry)
	}
	for _, f := range plan.Findings {
		d.Diagnostics = append(d.Diagnostics, diagnostic{
			Rule: f.Rule, Level: f.Level, Platforms: list(f.Platforms), File: f.File, Line: f.Line, Stage: f.Stage, Message: f.Message, Fix: f.Fix,
		})
	}
	return d
}

// list is empty, not null, in JSON.
func list(items []string) []string {
	if items == nil {
		return []string{}
	}
	return items
}
