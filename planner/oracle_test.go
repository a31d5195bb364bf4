package planner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// Here BuildKit's own converter is the oracle: it turns the same Dockerfile
// into operations, and the platforms and lines of the exec operations, the
// images that it looks up, and whether it refuses the file have to be what
// Expand says. The converter is heavy, so it is imported by tests only.

// view is what both sides have to agree on.
type view struct {
	Execs  []string // "platform: lines of RUN", one per stage
	Images []string // "reference platform", each once
}

// registry answers image lookups from nothing and notes them. The converter
// asks for several at a time.
type registry struct {
	mu    sync.Mutex
	asked map[string]bool
}

func (r *registry) note(ref string, platform ocispec.Platform) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[familiar(ref)+" "+platforms.FormatAll(platform)] = true
}

func (r *registry) ResolveImageConfig(
	_ context.Context, ref string, opt sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	platform := platforms.Normalize(*opt.ImageOpt.Platform)
	r.note(ref, platform)
	config, err := json.Marshal(ocispec.Image{
		Platform: platform,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString(ref)}},
	})
	return ref, digest.FromString(ref), config, err
}

// familiar undoes BuildKit's normalisation of references.
func familiar(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return strings.TrimSuffix(reference.FamiliarString(named), ":latest")
}

func convert(t *testing.T, text string, opts planner.Options, target ocispec.Platform) (view, error) {
	t.Helper()
	caps := pb.Caps.CapSet(pb.Caps.All())
	resolver := &registry{asked: make(map[string]bool)}
	res, err := dockerfile2llb.Dockerfile2LLB(t.Context(), []byte(text), dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs:      maps.Clone(opts.Args),
			BuildPlatforms: []ocispec.Platform{opts.BuildPlatform},
			Target:         opts.Target,
		},
		TargetPlatform: &target,
		MetaResolver:   resolver,
		LLBCaps:        &caps,
		SourceMap:      llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(text)),
	})
	if err != nil {
		return view{}, err
	}
	def, err := res.State.Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execs := make(map[int]string)
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			t.Fatal(err)
		}
		if op.Platform == nil {
			continue // the last one, and operations on files
		}
		platform := platforms.Normalize(ocispec.Platform{
			OS: op.Platform.OS, Architecture: op.Platform.Architecture, Variant: op.Platform.Variant,
		})
		// An image that only a trigger leads to is not looked up, only pulled.
		if ref, ok := strings.CutPrefix(op.GetSource().GetIdentifier(), "docker-image://"); ok {
			ref, _, _ = strings.Cut(ref, "@")
			resolver.note(ref, platform)
		}
		if op.GetExec() == nil {
			continue
		}
		for _, location := range def.Source.Locations[string(digest.FromBytes(dt))].Locations {
			execs[int(location.Ranges[0].Start.Line)] = platforms.Format(platform)
		}
	}
	return view{Execs: firstRuns(text, execs), Images: slices.Sorted(maps.Keys(resolver.asked))}, nil
}

// firstRuns keeps the first exec of every stage, which begins at a FROM.
func firstRuns(text string, execs map[int]string) []string {
	var list []string
	found, body := false, false
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "FROM") && !body {
			found = false
		}
		body = strings.Contains(line, "<<EOF") || body && line != "EOF"
		if platform, ok := execs[i+1]; ok && !found {
			found = true
			list = append(list, fmt.Sprintf("%d %s", i+1, platform))
		}
	}
	return list
}

func viewOf(job planner.Job) view {
	var v view
	for _, stage := range job.Stages {
		if stage.Runs() {
			v.Execs = append(v.Execs, fmt.Sprintf("%d %s", stage.RunLine, platforms.Format(stage.Platform)))
		}
	}
	images := make(map[string]bool)
	for _, image := range job.Images {
		images[image.Ref+" "+platforms.FormatAll(image.Platform)] = true
	}
	v.Images = slices.Sorted(maps.Keys(images))
	return v
}

// compare checks one Dockerfile on one platform and reports whether both sides
// accept it.
func compare(t *testing.T, text string, opts planner.Options, target ocispec.Platform) bool {
	t.Helper()
	opts.Platforms = []ocispec.Platform{target}
	want, wantErr := convert(t, text, opts, target)
	if err := wantErr; err != nil && strings.Contains(err.Error(), "invalid reference format") {
		return false // Expand leaves the syntax of references to the registry's client
	}
	plan, err := planner.Expand([]byte(text), opts)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s target %q args %v: Expand says %v, BuildKit says %v\n%s",
			platforms.Format(target), opts.Target, opts.Args, err, wantErr, text)
	}
	if err != nil {
		return false
	}
	if diff := cmp.Diff(want, viewOf(plan.Jobs[0])); diff != "" {
		t.Fatalf("%s target %q args %v (-BuildKit +Expand):\n%s\n%s",
			platforms.Format(target), opts.Target, opts.Args, diff, text)
	}
	return true
}

func oraclePlatforms(t *testing.T) []ocispec.Platform {
	t.Helper()
	list, err := planner.ParsePlatforms("linux/amd64,linux/arm64,linux/arm/v6,linux/amd64/v3")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRandomDockerfiles compares Expand with BuildKit on files that mix every
// way in which one stage can name another one or a platform.
func TestRandomDockerfiles(t *testing.T) {
	t.Parallel()
	targets := oraclePlatforms(t)
	accepted := 0
	const files = 1000
	for seed := range uint64(files) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		text, opts := g.file()
		opts.BuildPlatform = targets[0]
		if compare(t, text, opts, targets[seed%uint64(len(targets))]) {
			accepted++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("BuildKit accepts %d of %d files", accepted, files)
	if accepted < files/4 || accepted > files*9/10 {
		t.Errorf("the files are too uniform to prove anything: %d of %d accepted", accepted, files)
	}
}

// generator writes Dockerfiles that are right more often than not.
type generator struct {
	*rand.Rand
	count  int // of stages in the end
	stages int // so far
	lines  []string
}

func (g *generator) pick(words ...string) string { return words[g.IntN(len(words))] }

// maybe returns the word once in n times.
func (g *generator) maybe(n int, word string) string {
	if g.IntN(n) == 0 {
		return word
	}
	return ""
}

func (g *generator) write(format string, args ...any) {
	g.lines = append(g.lines, fmt.Sprintf(format, args...))
}

func (g *generator) file() (string, planner.Options) {
	for range g.IntN(4) {
		g.write("ARG %s", g.pick("N=1", "N=${N:-2}", "TARGETARCH", "TARGETARCH=arm64", "BASE=debian", "BASE=s0", "BASE", "P=linux/arm64", "P=$BUILDPLATFORM"))
	}
	g.count = 1 + g.IntN(5)
	for g.stages < g.count {
		g.from()
		for range g.IntN(4) {
			g.instruction()
		}
		g.stages++
	}
	opts := planner.Options{Args: map[string]string{}}
	if g.IntN(3) == 0 {
		opts.Args[g.pick("BASE", "N", "TARGETARCH", "P")] = g.pick("alpine", "1", "amd64", "arm64", "s1")
	}
	if g.IntN(3) == 0 {
		opts.Target = g.stage(g.count)
	}
	return strings.Join(g.lines, "\n") + "\n", opts
}

// stage names one of the first n stages.
func (g *generator) stage(n int) string {
	name := fmt.Sprintf("%s%d", g.pick("s", "s", "s", "S"), g.IntN(max(n, 1)))
	if g.IntN(6) == 0 {
		name = g.pick("a-amd64", "a-arm64", "scratch", "missing")
	}
	return name
}

func (g *generator) from() {
	platform := g.maybe(3, "--platform="+g.pick(
		"$BUILDPLATFORM", "$TARGETPLATFORM", "linux/arm64", "linux/arm64/v8", "linux/arm", "$P", "linux/$TARGETARCH", "arm64",
	)+" ")
	base := g.pick("debian", "alpine", "scratch", "scratch", "a-$TARGETARCH", "$BASE", "${BASE:-debian}", "s$N", "s${N%x}", "golang:$N")
	if g.stages > 0 && g.IntN(2) == 0 {
		base = strings.ToLower(g.stage(g.stages))
	}
	name := fmt.Sprintf(" AS %s%d", g.pick("s", "s", "S"), g.stages)
	if g.IntN(5) == 0 {
		name = g.pick("", " AS a-amd64", " AS a-arm64", " AS s0")
	}
	g.write("FROM %s%s%s", platform, base, name)
}

func (g *generator) instruction() {
	prefix := g.maybe(5, "ONBUILD ")
	known := g.stages
	if g.IntN(10) == 0 {
		known += 2 // looks ahead, which is an error unless it is not reached
	}
	id := len(g.lines) // keeps exec operations apart
	switch g.IntN(6) {
	case 0:
		g.write("%sCOPY --from=%s /x /y%d", prefix, g.stage(known), id)
	case 1:
		g.write("%sCOPY --from=%s /x /y%d", prefix, g.pick(fmt.Sprint(g.IntN(g.count)), "busybox", "$N"), id)
	case 2:
		g.write("%sRUN --mount=type=%s,from=%s,target=/m echo %d", prefix, g.pick("bind", "cache", "${T:-cache}"), g.stage(known), id)
	case 3:
		g.write("%sRUN --mount=%s echo %d", prefix, g.pick("type=cache,target=/c", "target=/m", "type=tmpfs,target=/t", "type=bind,from=busybox,target=/m"), id)
	case 4:
		g.write("%sRUN <<EOF\nFROM nothere\nARG TARGETARCH=s390x\necho %d\nEOF", prefix, id)
	default:
		g.write("%sRUN echo %d", prefix, id)
	}
}
