package exact

import (
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// Result is what BuildKit will do. Platforms are written as
// platforms.FormatAll writes them: linux/arm/v7.
type Result struct {
	Platforms     []string // of the jobs, in the order of Options.Platforms
	BuildPlatform string
	Target        string // the name to give to BuildKit, empty for the last stage

	// Syntax is the frontend that the Dockerfile asks for with "# syntax=".
	// Approximate is set if it is another one than the builtin one: what it will
	// do cannot be known without running it.
	Syntax      string
	Approximate bool

	Stages   []Stage    // of the file, in order
	Steps    []Step     // of all jobs, by line; what is shared is listed once
	Bases    []UsedBase // by reference
	Findings []Finding  // by line
}

// Stage is a FROM of the Dockerfile.
type Stage struct {
	Name  string // as in planner.Stage
	Line  int
	Base  string // as written
	Edges []Edge

	// ExecPlatform is the platform that the stage's commands really execute on,
	// by the platform of the job. Jobs that do not reach the stage are missing.
	ExecPlatform map[string]string
}

// EdgeKind says how a stage uses another one or an image.
type EdgeKind string

// The kinds of edges.
const (
	EdgeFrom  EdgeKind = "from"
	EdgeCopy  EdgeKind = "copy"
	EdgeMount EdgeKind = "mount"
)

// Edge is something that a stage needs.
type Edge struct {
	Kind      EdgeKind
	Stage     string // name of the stage, empty if it is an image
	Image     string // as written, but expanded in FROM
	Line      int
	Platforms []string // of the jobs that follow it
}

// State says how a step executes.
type State string

// The states of steps that run a command. Other steps have none: BuildKit works
// on the files itself.
const (
	StateNative   State = "native"
	StateEmulated State = "emulated"
)

// Place is where an instruction stands.
type Place struct {
	Stage         string
	Line, EndLine int
}

// Step is an operation of BuildKit.
type Step struct {
	// ID is the digest of the operation and all that it depends on without what
	// differs between sessions. Equal ID is equal work, which is done once.
	ID digest.Digest

	// Digests are those of the operation in BuildKit's own terms, more than one
	// if only the selection of local files differs between jobs.
	Digests []digest.Digest

	Place
	Also []Place // other places in the Dockerfile that mean the same operation

	Kind        string // image, local, git, https, oci-layout, exec, file, merge, diff
	Instruction string // RUN, COPY, FROM …, empty for BuildKit's own steps
	Command     string
	Image       string          // reference of the image that a step of kind image is, with the digest that was found
	Inputs      []digest.Digest // IDs

	Platforms []string // of the jobs that need it

	// ExecPlatform is the platform of the base that the command runs in, which is
	// not the one asked for if the base does not have that. It is empty for steps
	// on files.
	ExecPlatform string
	State        State
	Shared       bool // between jobs

	// Args, Env and Mounts are those of the process that a RUN starts: the words
	// of its command line, NAME=VALUE of the base image, ENV and ARG, and what
	// --mount adds to the files of the stage.
	Args   []string
	Env    []string
	Mounts []Mount

	// SecretEnv are the IDs of the secrets that the environment has beside Env.
	SecretEnv []string
}

// Base returns the reference of the image that the files of a step's stage began with:
// after FROM scratch the one that was copied first. It is empty if that is no image.
func (r *Result) Base(step Step) string {
	byID := make(map[digest.Digest]*Step, len(r.Steps))
	for i := range r.Steps {
		byID[r.Steps[i].ID] = &r.Steps[i]
	}
	// The first input of an operation is what it changes; the graph has no circles, but
	// for what a hostile one may claim.
	at := &step
	for range len(r.Steps) + 1 {
		if at.Image != "" || len(at.Inputs) == 0 || at.Kind == "diff" {
			break
		}
		next := byID[at.Inputs[0]]
		if next == nil {
			break
		}
		at = next
	}
	return at.Image
}

// MountType says what a RUN mounts.
type MountType string

// The types of mounts.
const (
	MountBind   MountType = "bind" // files of a stage, an image or a context
	MountCache  MountType = "cache"
	MountTmpfs  MountType = "tmpfs"
	MountSecret MountType = "secret"
	MountSSH    MountType = "ssh"
)

// Mount is what --mount adds to the files that a RUN sees.
type Mount struct {
	Type    MountType
	Target  string
	ID      string // of a cache, a secret or an agent
	Sharing string // of a cache: shared, private or locked
}

// Match says which image a reference gives for a platform.
type Match string

// The kinds of matches.
const (
	MatchExact       = "exact"       // the platform itself
	MatchFallback    = "fallback"    // another one of the index, as in "fallback:linux/arm/v7"
	MatchSingle      = "single"      // the only one there is: the reference is no index
	MatchMislabelled = "mislabelled" // the index lists it, but the image is for another
	MatchMissing     = "missing"     // none; BuildKit refuses
)

// Kind returns one of the Match constants.
func (m Match) Kind() string {
	kind, _, _ := strings.Cut(string(m), ":")
	return kind
}

// Platform returns the real platform, empty for exact and missing.
func (m Match) Platform() string {
	_, platform, _ := strings.Cut(string(m), ":")
	return platform
}

// UsedBase is an image that the Dockerfile uses.
type UsedBase struct {
	Ref       string
	Digest    digest.Digest
	MediaType string
	Platforms []string         // what it offers, attestations left out
	Match     map[string]Match // by wanted platform
	Err       error            // of the resolver; nothing else is known then
}

// Level is how bad a finding is.
type Level string

// The levels of findings.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
	LevelNote    Level = "note"
)

// The rules.
const (
	RuleBasePlatform     = "base-platform"
	RuleBaseUnavailable  = "base-unavailable"
	RuleBaseDigestSingle = "base-digest-single"
	RuleRuntimePinned    = "runtime-pinned"
	RuleBuiltinArg       = "builtin-arg-default"
	RuleArgEarly         = "arg-early"
)

// Finding is something to know before building.
type Finding struct {
	Rule      string // ours with hyphens, BuildKit's own in CamelCase
	Level     Level
	Platforms []string // of the jobs concerned
	File      string
	Line      int
	Stage     string
	Message   string
	Fix       string
	URL       string // of BuildKit's page about the rule, empty for our own

	// Ref, Match, Wanted and Offered are set if the finding is about an image.
	Ref     string
	Match   Match // empty if the image could not be looked up
	Wanted  []string
	Offered []string

	// Runs is how many runs of commands could be saved, for arg-early.
	Runs int
}
