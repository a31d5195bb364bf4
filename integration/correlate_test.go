package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/engine"
	registryclient "github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/integration/testbed"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// recipe is a build whose plan is held against what the daemon does.
type recipe struct {
	dir, platforms, target string
	args, contexts         map[string]string
	noCache, pull          bool
	attrs                  map[string]string
	overrides              map[string]planner.Override
}

// TestCorrelate builds, and holds that the plan's steps are the daemon's vertices: by
// digest, all of them and no other.
func TestCorrelate(t *testing.T) {
	t.Parallel()
	recipes := map[string]recipe{
		"hello":      {dir: "../examples/hello", platforms: six},
		"go-cross":   {dir: "../examples/go-cross", platforms: "linux/amd64,linux/arm64"},
		"c-emulated": {dir: "../examples/c-emulated", platforms: "linux/amd64,linux/arm64"},
	}
	files, err := filepath.Glob("testdata/correlate/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	store, server := registry(t, testbed.RegistryOptions{}), fileServer(t)
	for _, file := range files {
		recipes[strings.TrimSuffix(filepath.Base(file), ".txtar")] = readRecipe(t, file, store, server)
	}
	again := recipes["pinned"]
	again.noCache = true
	recipes["pinned, --no-cache"] = again
	again.noCache, again.pull = false, true
	recipes["pinned, --pull"] = again
	mabuild(t, "engine", "du") // starts the engine
	for _, name := range slices.Sorted(maps.Keys(recipes)) {
		t.Run(name, func(t *testing.T) { correlate(t, recipes[name]) })
	}
}

// correlate builds a recipe, delivering nothing.
func correlate(t *testing.T, r recipe) {
	node, err := buildkit.Dial(t.Context(), "unix://"+filepath.Join(shared.state, "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	dockerfile := filepath.Join(r.dir, "Dockerfile")
	source, err := node.Offer(t.Context(), buildkit.SourceOptions{Context: r.dir, Dockerfile: dockerfile, NamedContexts: r.contexts})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := planner.ParsePlatforms(r.platforms)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planner.Expand(text, planner.Options{Platforms: wanted, Target: r.target, Args: r.args, Overrides: r.overrides})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	jobs := map[string]*buildkit.Vertices{}
	solver, err := buildkit.NewSolver(buildkit.Options{
		Node: node, Source: source, NoCache: r.noCache, Pull: r.pull,
		Inputs: buildkit.Inputs{Attrs: func(planner.Job) map[string]string { return r.attrs }},
		Report: func(job planner.Job, status *client.SolveStatus) {
			mu.Lock()
			defer mu.Unlock()
			name := platforms.FormatAll(job.Platform)
			if jobs[name] == nil {
				jobs[name] = &buildkit.Vertices{}
			}
			jobs[name].Observe(status)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var planned *exact.Result
	_, err = builder.Build(t.Context(), plan, builder.Options{
		Solver: solver,
		Check: func(ctx context.Context) error {
			planned, err = exact.Plan(ctx, exact.Options{
				Dockerfile: text, Filename: dockerfile, Platforms: wanted, BuildPlatform: node.Native(), Target: r.target, Args: r.args,
				Context: r.dir, DockerfileDir: r.dir, NamedContexts: r.contexts, Resolver: resolver(t), SessionID: source.SessionID(), Pull: r.pull,
				Attrs: r.attrs, Overrides: r.overrides,
			})
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, planned, jobs)
	if r.noCache {
		allRan(t, planned, jobs)
	}
}

// resolver looks images up where the shared engine does.
func resolver(t *testing.T) exact.Resolver {
	t.Helper()
	config, err := engine.LoadConfig(shared.config)
	if err != nil {
		t.Fatal(err)
	}
	return bases.New(bases.Options{Registry: registryclient.New(registryclient.Options{Hosts: config.Registries}), Dir: t.TempDir()})
}

// ownVertices are those that BuildKit adds to the ones of the Dockerfile, by the
// beginning of the name: what the frontend does before it has a definition, and the
// exporter after it.
var ownVertices = []string{
	"[internal] load build definition from ", // the Dockerfile, read by the frontend
	"[internal] load .dockerignore",          // as is this
	"[internal] load metadata for ",          // lookups of images by the frontend
	"[auth] ",                                // credentials that those lookups ask for
	"exporting ",                             // the exporter
}

// isOwn also knows the frontend's lookups for named contexts: "[context NAME] load …".
func isOwn(name string) bool {
	if strings.HasPrefix(name, "[context ") {
		_, what, _ := strings.Cut(name, "] ")
		return what == "load .dockerignore" || strings.HasPrefix(what, "load metadata for ")
	}
	return slices.ContainsFunc(ownVertices, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// compare holds every job's vertices against the plan's steps.
func compare(t *testing.T, planned *exact.Result, jobs map[string]*buildkit.Vertices) {
	t.Helper()
	steps := map[digest.Digest]bool{}
	for _, step := range planned.Steps {
		for _, d := range step.Digests {
			steps[d] = true
		}
	}
	live, seen := 0, map[digest.Digest]bool{}
	for _, platform := range planned.Platforms {
		here := map[digest.Digest]bool{}
		for _, vertex := range jobs[platform].All() {
			if isOwn(vertex.Name) {
				continue
			}
			live++
			here[vertex.Digest], seen[vertex.Digest] = true, true
			// It may be another platform's: where the daemon finds that two steps have
			// the same result, it makes one of them.
			if !steps[vertex.Digest] {
				t.Errorf("%s: the vertex %q (%s) is not in the plan", platform, vertex.Name, vertex.Digest)
			}
		}
		for _, step := range planned.Steps {
			found := slices.ContainsFunc(step.Digests, func(d digest.Digest) bool { return here[d] })
			if slices.Contains(step.Platforms, platform) && !found {
				t.Errorf("%s: line %d: %s %q is no vertex of the job", platform, step.Line, step.Kind, step.Command)
			}
		}
	}
	for d := range steps {
		if !seen[d] {
			t.Errorf("%s is in the plan, but no vertex of the build", d)
		}
	}
	t.Logf("%d vertices of %d jobs are the %d digests of %d steps", live, len(jobs), len(steps), len(planned.Steps))
}

// allRan holds that every command of the plan was executed for one of its jobs.
func allRan(t *testing.T, planned *exact.Result, jobs map[string]*buildkit.Vertices) {
	t.Helper()
	ran := map[digest.Digest]bool{}
	for _, vertices := range jobs {
		for _, vertex := range vertices.All() {
			if took, ok := vertex.Ran(); ok && took > 0 {
				ran[vertex.Digest] = true
			}
		}
	}
	for _, step := range planned.Steps {
		if step.Kind == "exec" && !slices.ContainsFunc(step.Digests, func(d digest.Digest) bool { return ran[d] }) {
			t.Errorf("line %d: %q was not executed", step.Line, step.Command)
		}
	}
}

// readRecipe unpacks a recipe. The lines before its files are its command line:
// "platforms LIST", "target STAGE", "arg NAME=VALUE", "context NAME=VALUE", and "base"
// if an image is to be made of base/Dockerfile first.
func readRecipe(t *testing.T, file string, store *testbed.Registry, server map[string]string) recipe {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := recipe{args: map[string]string{}, contexts: map[string]string{}}
	files := map[string]string{}
	image := store.Addr + "/" + strings.TrimSuffix(filepath.Base(file), ".txtar") + ":1"
	for _, f := range archive.Files {
		text := strings.ReplaceAll(string(f.Data), "{{base}}", image)
		for name, value := range server {
			text = strings.ReplaceAll(text, "{{"+name+"}}", value)
		}
		files[f.Name] = text
	}
	r.dir = project(t, files)
	for line := range strings.Lines(string(archive.Comment)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, value, _ := strings.Cut(rest, "=")
		switch word {
		case "platforms":
			r.platforms = rest
		case "target":
			r.target = rest
		case "arg":
			r.args[name] = value
		case "context":
			r.contexts[name] = strings.ReplaceAll(value, "{{dir}}", r.dir)
		case "base":
			mabuild(t, "--platform", r.platforms, "-t", image, "--push", filepath.Join(r.dir, "base"))
		default:
			t.Fatalf("%s: unknown option %q", file, line)
		}
	}
	return r
}

// fileServer serves a file, an archive and a git repository, and returns what recipes
// call them.
func fileServer(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	work := filepath.Join(dir, "work", "sub")
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "file"), []byte("text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run("init", "-q", "-b", "main", "work")
	run("-C", "work", "add", ".")
	run("-C", "work", "commit", "-q", "-m", "first")
	run("clone", "-q", "--bare", "work", "repo.git")
	core, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	const file = "from the web\n"
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	if err := w.WriteHeader(&tar.Header{Name: "packed", Mode: 0o644, Size: int64(len(file))}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(file))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for name, body := range map[string][]byte{"/file.txt": []byte(file), "/file.tar": packed.Bytes()} {
		mux.HandleFunc(name, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	}
	mux.Handle("/repo.git/", &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(core)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"},
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return map[string]string{"server": server.URL, "checksum": digest.FromString(file).Encoded()}
}
