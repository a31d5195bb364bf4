package exact_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/contexts"
	"github.com/mabuild/mabuild/builder/contexts/contextstest"
	"github.com/mabuild/mabuild/planner/exact"
)

const remoteDockerfile = "FROM --platform=$BUILDPLATFORM base AS build\nARG TARGETARCH SOURCE_DATE_EPOCH\nCOPY . /src\nRUN make $TARGETARCH $SOURCE_DATE_EPOCH >/x\n" +
	"FROM base\nCOPY --from=build /x /x\nADD https://example.com/file /file\nRUN true\n"

// remoteTests are contexts that are URLs, as options that the others are added to.
func remoteTests(t testing.TB) map[string]exact.Options {
	t.Helper()
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	commit := r.Commit("main", map[string]string{
		"Dockerfile": remoteDockerfile, "docker/other.Dockerfile": remoteDockerfile, "sub/dockerfile": "FROM scratch\nCOPY x /\n", ".dockerignore": "src\n",
	})
	r.Git("tag", "v1")
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, name := range []string{"Dockerfile", "app/Dockerfile"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(remoteDockerfile)), ModTime: time.Unix(1234567890, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(remoteDockerfile)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.Files, "app.tar"), packed.String())
	write(t, filepath.Join(s.Files, "build"), remoteDockerfile)
	local := t.TempDir()
	write(t, filepath.Join(local, "Dockerfile"), remoteDockerfile)

	client := contexts.New(contexts.Options{TempDir: t.TempDir()})
	t.Cleanup(func() { _ = client.Close() })
	tests := map[string]exact.Options{
		"git":                 {Context: r.URL},
		"git reference":       {Context: r.URL + "#v1"},
		"git commit":          {Context: r.URL + "#" + commit},
		"git subdirectory":    {Context: r.URL + "#main:sub"},
		"git query":           {Context: r.URL + "?ref=main&checksum=" + commit + "&submodules=0&mtime=commit"},
		"git, another file":   {Context: r.URL, Filename: "docker/other.Dockerfile"},
		"git with .git":       {Context: r.URL, Args: map[string]string{"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}},
		"git, time of commit": {Context: r.URL + "#v1", Args: map[string]string{"SOURCE_DATE_EPOCH": "context"}},
		"git, local file":     {Context: r.URL, Filename: filepath.Join(local, "Dockerfile"), DockerfileDir: local, Dockerfile: []byte(remoteDockerfile)},
		"archive":             {Context: s.URL + "/files/app.tar"},
		"archive, folder":     {Context: s.URL + "/files/app.tar", Filename: "app/Dockerfile"},
		"archive, its time":   {Context: s.URL + "/files/app.tar", Args: map[string]string{"SOURCE_DATE_EPOCH": "context"}},
		"Dockerfile":          {Context: s.URL + "/files/build"},
		"named": {Dockerfile: []byte(remoteDockerfile + "COPY --from=repo / /r\nCOPY --from=file / /f\nCOPY --from=build / /b\n"), NamedContexts: map[string]string{
			"repo": r.URL + "#main:sub", "file": s.URL + "/files/app.tar", "build::linux/arm64": "https://example.com/build.git?tag=v1",
		}},
		"named, time of commit": {Dockerfile: []byte(remoteDockerfile), NamedContexts: map[string]string{"repo": r.URL}, Args: map[string]string{"SOURCE_DATE_EPOCH": "repo"}},
	}
	for name, opts := range tests {
		full := options(t, "")
		opts.Platforms, opts.BuildPlatform, opts.Resolver, opts.Remote = full.Platforms, full.BuildPlatform, full.Resolver, client
		tests[name] = opts
	}
	return tests
}

func TestRemote(t *testing.T) {
	t.Parallel()
	for name, opts := range remoteTests(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := plan(t, opts)
			if len(result.Findings) > 0 && name != "named" {
				t.Errorf("findings: %+v", result.Findings)
			}
			var kinds, commands []string
			for _, step := range result.Steps {
				kinds, commands = append(kinds, step.Kind), append(commands, step.Command)
			}
			want := "git"
			switch {
			case strings.Contains(opts.Context, "/files/"):
				want = "http"
			case name == "named, time of commit":
				want = "local"
			}
			if !strings.Contains(strings.Join(kinds, " "), want) {
				t.Errorf("no %s among the steps %v", want, kinds)
			}
			epoch := map[string]string{"git, time of commit": "1700000000", "named, time of commit": "1700000000"}[name]
			if epoch != "" && !hasEnv(result, "SOURCE_DATE_EPOCH="+epoch) {
				t.Errorf("no step has SOURCE_DATE_EPOCH=%s: %v", epoch, commands)
			}
		})
	}
}

func hasEnv(result *exact.Result, want string) bool {
	for _, step := range result.Steps {
		for _, item := range step.Env {
			if item == want {
				return true
			}
		}
	}
	return false
}

// TestRemoteRequests holds that a context is fetched once for all platforms, and
// that named contexts are not fetched at all.
func TestRemoteRequests(t *testing.T) {
	t.Parallel()
	s := contextstest.New(t)
	write(t, filepath.Join(s.Files, "build"), remoteDockerfile)
	client := contexts.New(contexts.Options{TempDir: t.TempDir()})
	t.Cleanup(func() { _ = client.Close() })
	opts := options(t, "")
	opts.Platforms = list(t, "linux/amd64,linux/arm64,linux/arm/v7")
	opts.Dockerfile, opts.Context, opts.Remote = nil, s.URL+"/files/build", client
	opts.NamedContexts = map[string]string{"base": s.URL + "/git/none.git", "x": s.URL + "/files/none"}
	plan(t, opts)
	if diff := cmp.Diff([]string{"GET /files/build"}, s.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestRemoteErrors(t *testing.T) {
	t.Parallel()
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	r.Commit("main", map[string]string{"web/Dockerfile": remoteDockerfile})
	client := contexts.New(contexts.Options{TempDir: t.TempDir()})
	t.Cleanup(func() { _ = client.Close() })
	private := strings.Replace(s.URL, "://", "://robot:hunter2@", 1) + "/private/app.git"
	for name, test := range map[string]struct {
		opts exact.Options
		want string
	}{
		"no reader":       {exact.Options{Context: private}, "nothing can read it; set Options.Remote"},
		"missing branch":  {exact.Options{Context: private + "#nope", Remote: client}, `no branch or tag "nope"`},
		"no Dockerfile":   {exact.Options{Context: private, Remote: client}, "Dockerfile"},
		"outside":         {exact.Options{Context: private, Remote: client, Filename: "../x"}, "outside of it; give a path inside"},
		"bad query":       {exact.Options{Context: private + "?x=y", Remote: client}, `unexpected query "x"`},
		"bad named query": {exact.Options{Dockerfile: []byte("FROM base"), NamedContexts: map[string]string{"a": private + "?x=y"}}, "write URL#REF:SUBDIR"},
		"named by ssh":    {exact.Options{Dockerfile: []byte("FROM base"), NamedContexts: map[string]string{"a": "ssh://robot:hunter2@example.com/x"}}, "BuildKit takes only"},
		"time of a named": {exact.Options{Dockerfile: []byte("FROM base"), NamedContexts: map[string]string{"a": private + "#none"}, Args: map[string]string{"SOURCE_DATE_EPOCH": "a"}, Remote: client}, `no branch or tag "none"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			full := options(t, "")
			test.opts.Platforms, test.opts.BuildPlatform, test.opts.Resolver = full.Platforms, full.BuildPlatform, full.Resolver
			_, err := exact.Plan(t.Context(), test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestRemoteLocal holds that a directory goes before a URL, as in buildx.
func TestRemoteLocal(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("github.com/me/app", 0o755); err != nil {
		t.Fatal(err)
	}
	opts := options(t, "FROM base\nCOPY x /x\n")
	opts.Context = "github.com/me/app"
	if kind := plan(t, opts).Steps[0].Kind; kind != "local" {
		t.Errorf("a directory is planned as %s", kind)
	}
}

// TestRemoteSecrets holds that no plan shows what a URL has for the server alone.
func TestRemoteSecrets(t *testing.T) {
	t.Parallel()
	opts := options(t, "FROM base\nCOPY --from=a / /\nCOPY --from=b / /\nADD https://me:secret@example.com/x?token=secret /x\n")
	opts.NamedContexts = map[string]string{"a": "https://me:secret@example.com/x?token=secret", "b": "https://me:secret@example.com/x.git"}
	for _, step := range plan(t, opts).Steps {
		if step.Line == 0 && strings.Contains(step.Command, "secret") {
			t.Errorf("a step is %q", step.Command)
		}
	}
}
