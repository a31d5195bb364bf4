package show

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/exact"
)

// sarifSchema is where the standard keeps its schema.
const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// sourceRoot is the name by which readers know the root of a repository.
const sourceRoot = "%SRCROOT%"

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	InformationURI string      `json:"informationUri"`
	Version        string      `json:"version,omitempty"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID                   string        `json:"id"`
	ShortDescription     sarifText     `json:"shortDescription"`
	HelpURI              string        `json:"helpUri,omitempty"`
	DefaultConfiguration sarifSettings `json:"defaultConfiguration"`
}

type sarifSettings struct {
	Level exact.Level `json:"level"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID              string            `json:"ruleId"`
	RuleIndex           int               `json:"ruleIndex"`
	Level               exact.Level       `json:"level"`
	Message             sarifText         `json:"message"`
	Locations           []sarifLocation   `json:"locations"`
	PartialFingerprints map[string]string `json:"partialFingerprints"`
	Properties          sarifProperties   `json:"properties"`
}

type sarifLocation struct {
	PhysicalLocation sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	ArtifactLocation sarifArtifact `json:"artifactLocation"`
	Region           *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI       string `json:"uri"`
	URIBaseID string `json:"uriBaseId,omitempty"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifProperties struct {
	Stage     string   `json:"stage,omitempty"`
	Platforms []string `json:"platforms"`
}

// SARIF writes the findings of a plan in the format of code scanning.
func SARIF(w io.Writer, plan *exact.Result, opts Options) error {
	driver := sarifDriver{
		Name: "mabuild", InformationURI: "https://github.com/mabuild/mabuild", Version: opts.Version, Rules: sarifRules(plan, opts.Rules),
	}
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	seen := make(map[string]int)
	for _, f := range plan.Findings {
		artifact, err := locate(f.File, opts)
		if err != nil {
			return err
		}
		message := f.Message
		if f.Fix != "" {
			message += "; " + f.Fix
		}
		at := sarifPhysical{ArtifactLocation: artifact}
		if f.Line > 0 {
			at.Region = &sarifRegion{f.Line}
		}
		print := fingerprint(f)
		seen[print]++
		run.Results = append(run.Results, sarifResult{
			RuleID: f.Rule, Level: f.Level, Message: sarifText{message}, Locations: []sarifLocation{{at}},
			RuleIndex:           slices.IndexFunc(driver.Rules, func(r sarifRule) bool { return r.ID == f.Rule }),
			PartialFingerprints: map[string]string{"primaryLocationLineHash": fmt.Sprintf("%s:%d", print, seen[print])},
			Properties:          sarifProperties{Stage: f.Stage, Platforms: list(f.Platforms)},
		})
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// sarifRules describes the rules that are known and those that findings are about.
func sarifRules(plan *exact.Result, known []Rule) []sarifRule {
	rules := []sarifRule{}
	add := func(r Rule) {
		if !slices.ContainsFunc(rules, func(other sarifRule) bool { return other.ID == r.Name }) {
			rules = append(rules, sarifRule{r.Name, sarifText{r.Summary}, r.URL, sarifSettings{r.Level}})
		}
	}
	for _, r := range known {
		add(r)
	}
	for _, f := range plan.Findings {
		summary := "Rule " + f.Rule
		if strings.ToLower(f.Rule) != f.Rule {
			summary += " of BuildKit"
		}
		add(Rule{Name: f.Rule, Level: f.Level, Summary: summary, URL: f.URL})
	}
	return rules
}

// locate writes the path of a file as a URI, relative to the root if it is below.
func locate(file string, opts Options) (sarifArtifact, error) {
	if file == "" {
		file = opts.File
	}
	if opts.Root != "" {
		root, err := filepath.Abs(opts.Root)
		if err == nil {
			file, err = filepath.Abs(file)
		}
		if err != nil {
			return sarifArtifact{}, fmt.Errorf("finding the place of %s in the repository: %w; set a working directory that exists", file, err)
		}
		if below, err := filepath.Rel(root, file); err == nil && filepath.IsLocal(below) {
			file = below
		}
	}
	path := filepath.ToSlash(filepath.Clean(file))
	if !filepath.IsAbs(file) {
		return sarifArtifact{URI: (&url.URL{Path: path}).String(), URIBaseID: sourceRoot}, nil
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/x
	}
	return sarifArtifact{URI: (&url.URL{Scheme: "file", Path: path}).String()}, nil
}

// lineNumbers are what changes in a message when lines are added above.
var lineNumbers = regexp.MustCompile(`\b(L|lines? )\d+( (to|and) \d+)?`)

// fingerprint stays the same while a finding moves through the file. The readers of
// the format know it by the name of the hash of a line; a finding that is about a
// stage and a platform is told apart better by these.
func fingerprint(f exact.Finding) string {
	message := lineNumbers.ReplaceAllString(f.Message, "$1")
	sum := sha256.Sum256([]byte(strings.Join(append([]string{f.Rule, f.Stage, message}, f.Platforms...), "\x00")))
	return hex.EncodeToString(sum[:8])
}
