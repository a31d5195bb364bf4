package planner

import (
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Syntax returns the frontend that will read a Dockerfile, empty for the builtin one, and
// whether it may understand the file in another way.
func Syntax(text []byte, args map[string]string) (ref string, foreign bool) {
	ref, ok := args["BUILDKIT_SYNTAX"]
	if !ok {
		if ref, _, _, ok = parser.DetectSyntax(text); !ok {
			return "", false
		}
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref, true
	}
	tag := ""
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	official := slices.Contains([]string{"docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream"}, named.Name())
	return ref, !official || strings.Contains(tag, "labs")
}

// Unread is the plan for a Dockerfile that only its frontend can read: a job for every
// platform, of which no stage is known. Errors are those of [Expand].
func Unread(opts Options) (*Plan, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	plan := &Plan{}
	for _, platform := range opts.Platforms {
		own := opts.For(platform)
		plan.Jobs = append(plan.Jobs, Job{Platform: platform, Target: own.Target, Args: own.Args})
	}
	return plan, nil
}
