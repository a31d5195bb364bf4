package show

import (
	"encoding/json"
	"io"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
	"github.com/mabuild/mabuild/planner/pin"
)

// document is the JSON form of a plan, which docs/plan.schema.json describes.
// Fields are added, never renamed.
type document struct {
	Version     int            `json:"version"`
	Dockerfile  dockerfile     `json:"dockerfile"`
	Builder     builder        `json:"builder"`
	Platforms   []string       `json:"platforms"`
	Stages      []stage        `json:"stages"`
	Steps       []step         `json:"steps"`
	Bases       []base         `json:"bases"`
	Diagnostics []diagnostic   `json:"diagnostics"`
	Forecast    *totalForecast `json:"forecast,omitempty"`
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
	States map[string]state  `json:"states"`
	Needs  []need            `json:"needs"`
	Pin    *stagePin         `json:"pin,omitempty"`
}

type need struct {
	Kind      exact.EdgeKind `json:"kind"`
	Stage     string         `json:"stage,omitempty"`
	Image     string         `json:"image,omitempty"`
	Line      int            `json:"line"`
	Platforms []string       `json:"platforms"`
}

type step struct {
	ID           digest.Digest   `json:"id"`
	Digests      []digest.Digest `json:"digests"`
	Kind         string          `json:"kind"`
	Stage        string          `json:"stage,omitempty"`
	Line         int             `json:"line,omitempty"`
	EndLine      int             `json:"endLine,omitempty"`
	Also         []place         `json:"also,omitempty"`
	Instruction  string          `json:"instruction,omitempty"`
	Command      string          `json:"command,omitempty"`
	Image        string          `json:"image,omitempty"`
	Platforms    []string        `json:"platforms"`
	ExecPlatform string          `json:"execPlatform,omitempty"`
	State        string          `json:"state,omitempty"`
	Shared       bool            `json:"shared"`
	Impossible   bool            `json:"impossible,omitempty"`
	Mounts       []mount         `json:"mounts,omitempty"`
	Inputs       []digest.Digest `json:"inputs"`
	Assist       *stepAssist     `json:"assist,omitempty"`
	Forecast     *forecast       `json:"forecast,omitempty"`
	Programs     []program       `json:"programs,omitempty"`
}

// program is what QEMU ran in a command, and what is said of native tools for it.
type program struct {
	Name  string  `json:"name"`
	Ms    int64   `json:"ms"`
	Share float64 `json:"share"`
	Tools string  `json:"tools,omitempty"`
}

// stepAssist says what an emulated command gets, by recipe, or why nothing.
type stepAssist struct {
	Recipe string `json:"recipe,omitempty"`
	Reason string `json:"reason,omitempty"`
	Note   string `json:"note,omitempty"`
}

// stagePin says whether a stage could run on the build platform.
type stagePin struct {
	State   pin.State   `json:"state"`
	Lang    string      `json:"lang,omitempty"`
	Pin     string      `json:"pin,omitempty"`
	Env     []string    `json:"env,omitempty"`
	Runs    int         `json:"runs,omitempty"`
	Reasons []pinReason `json:"reasons"`
	Verify  string      `json:"verify,omitempty"`
}

type pinReason struct {
	Rule string `json:"rule,omitempty"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

type place struct {
	Stage   string `json:"stage"`
	Line    int    `json:"line"`
	EndLine int    `json:"endLine"`
}

type mount struct {
	Type    exact.MountType `json:"type"`
	Target  string          `json:"target,omitempty"`
	ID      string          `json:"id,omitempty"`
	Sharing string          `json:"sharing,omitempty"`
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
	URL       string      `json:"url,omitempty"`
	Ref       string      `json:"ref,omitempty"`
	Match     exact.Match `json:"match,omitempty"`
	Wanted    []string    `json:"wanted,omitempty"`
	Offered   []string    `json:"offered,omitempty"`
	Runs      int         `json:"runs,omitempty"`
}

// forecast is how long something takes.
type forecast struct {
	Ms       int64          `json:"ms"`
	SpreadMs int64          `json:"spreadMs"`
	From     history.Source `json:"from"`
}

type totalForecast struct {
	Builds    int                 `json:"builds"`
	TotalMs   int64               `json:"totalMs"`
	SpreadMs  int64               `json:"spreadMs"`
	Known     int                 `json:"known"`
	Unknown   int                 `json:"unknown"`
	Platforms map[string]forecast `json:"platforms"`
	Slowest   string              `json:"slowest,omitempty"`
	Dominant  *dominant           `json:"dominant,omitempty"`
}

type dominant struct {
	Step  digest.Digest `json:"step"`
	Stage string        `json:"stage"`
	Line  int           `json:"line"`
	Share float64       `json:"share"`
}

// JSON writes all of a plan but the environment of commands, which may hold what
// is not to be passed on.
func JSON(w io.Writer, plan *exact.Result, opts Options) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(newDocument(newView(plan, opts)))
}

func newDocument(v *view) document {
	plan := v.plan
	d := document{
		Version:    1,
		Dockerfile: dockerfile{Path: v.opts.File, Target: plan.Target, Syntax: plan.Syntax, Approximate: plan.Approximate},
		Builder:    builder{BuildPlatform: plan.BuildPlatform, Emulated: list(v.emulatedPlatforms())},
		Platforms:  list(plan.Platforms),
		Stages:     []stage{}, Steps: []step{}, Bases: []base{}, Diagnostics: []diagnostic{},
		Forecast: v.totalForecast(),
	}
	for i := range v.stages {
		d.Stages = append(d.Stages, v.newStage(&v.stages[i]))
	}
	for i := range plan.Steps {
		d.Steps = append(d.Steps, v.newStep(&plan.Steps[i]))
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
			Rule: f.Rule, Level: f.Level, Platforms: list(f.Platforms), File: f.File, Line: f.Line, Stage: f.Stage, Message: f.Message,
			Fix: f.Fix, URL: f.URL, Ref: f.Ref, Match: f.Match, Wanted: f.Wanted, Offered: f.Offered, Runs: f.Runs,
		})
	}
	return d
}

func (v *view) newStage(s *stageView) stage {
	entry := stage{Name: s.Name, Line: s.Line, Base: s.Base, ExecOn: s.ExecPlatform, States: make(map[string]state), Needs: []need{}}
	for _, e := range s.Edges {
		entry.Needs = append(entry.Needs, need{Kind: e.Kind, Stage: e.Stage, Image: e.Image, Line: e.Line, Platforms: list(e.Platforms)})
	}
	for platform, c := range s.cells {
		entry.States[platform] = c.state.public()
	}
	if p := v.pinAt(s.Line); p != nil {
		entry.Pin = newStagePin(p)
	}
	return entry
}

func (v *view) newStep(s *exact.Step) step {
	entry := step{
		ID: s.ID, Digests: list(s.Digests), Kind: s.Kind, Stage: s.Stage, Line: s.Line, EndLine: s.EndLine,
		Instruction: s.Instruction, Command: s.Command, Image: s.Image, Platforms: list(s.Platforms), ExecPlatform: s.ExecPlatform,
		State: string(s.State), Shared: s.Shared, Impossible: v.dead[s.ID], Inputs: list(s.Inputs),
	}
	for _, p := range s.Also {
		entry.Also = append(entry.Also, place(p))
	}
	for _, m := range s.Mounts {
		entry.Mounts = append(entry.Mounts, mount(m))
	}
	if a, ok := v.assists[s.ID]; ok {
		entry.Assist = &stepAssist{Recipe: a.Recipe, Reason: a.Reason, Note: a.Note}
	}
	if v.opts.Forecast != nil {
		if e, ok := v.opts.Forecast.Steps[s.ID]; ok {
			f := newForecast(e)
			entry.Forecast = &f
		}
	}
	for _, p := range v.programs(s.ID) {
		entry.Programs = append(entry.Programs, v.newProgram(p))
	}
	return entry
}

func (v *view) newProgram(p history.Program) program {
	entry := program{Name: p.Name, Ms: p.Time.Milliseconds(), Share: p.Share}
	if v.opts.Tools != nil {
		entry.Tools = v.opts.Tools(p.Name)
	}
	return entry
}

func newStagePin(p *pin.Stage) *stagePin {
	entry := &stagePin{State: p.State, Lang: p.Lang, Env: p.Env, Runs: p.Runs, Reasons: []pinReason{}, Verify: p.Verify}
	if p.State == pin.Candidate {
		entry.Pin = p.Pin.String()
	}
	for _, r := range p.Reasons {
		entry.Reasons = append(entry.Reasons, pinReason(r))
	}
	return entry
}

func newForecast(e history.Estimate) forecast {
	return forecast{Ms: e.Duration.Milliseconds(), SpreadMs: e.Spread.Milliseconds(), From: e.From}
}

func (v *view) totalForecast() *totalForecast {
	f := v.opts.Forecast
	if f == nil {
		return nil
	}
	total := &totalForecast{
		Builds: f.Builds, TotalMs: f.Total.Milliseconds(), SpreadMs: f.Spread.Milliseconds(),
		Known: f.Known, Unknown: f.Unknown, Platforms: make(map[string]forecast), Slowest: f.Slowest,
	}
	for platform, e := range f.Platforms {
		total.Platforms[platform] = newForecast(e)
	}
	if d := f.Dominant; d.Step != "" {
		total.Dominant = &dominant{Step: d.Step, Stage: d.Stage, Line: d.Line, Share: d.Share}
	}
	return total
}

// list is empty, not null, in JSON.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
