package integration

import (
	"archive/tar"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"

	"github.com/mabuild/mabuild/builder/contexts/contextstest"
)

// TestRemotePlan holds that the plan of a build context that is a URL has the
// digests of what BuildKit then does, for one and the same commit (case 43).
func TestRemotePlan(t *testing.T) {
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	dockerfile := "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH SOURCE_DATE_EPOCH\nCOPY . /src\nRUN echo $TARGETARCH $SOURCE_DATE_EPOCH >/x\n" +
		"FROM busybox\nCOPY --from=build /x /x\nCOPY --from=build /src/file /file\n"
	named := dockerfile + "COPY --from=repo /file /named\n"
	commit := r.Commit("main", map[string]string{
		"Dockerfile": dockerfile, "file": "1", "sub/dir/dockerfile": dockerfile, "sub/dir/file": "2", "link.Dockerfile": "-> sub/dir/dockerfile", "named.Dockerfile": named,
	})
	r.Git("-c", "user.name=t", "-c", "user.email=t@example.com", "tag", "-a", "-m", "x", "v1", commit)
	files := map[string]string{"Dockerfile": dockerfile, "file": "3", "web/app.Dockerfile": dockerfile}
	archive(t, filepath.Join(s.Files, "app.tar"), files)
	lone := strings.ReplaceAll(dockerfile, "/src/file", "/src/context")
	if err := os.WriteFile(filepath.Join(s.Files, "lone"), []byte(lone), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		url, file string
		args      map[string]string
		contexts  map[string]string
	}{
		"branch":         {url: r.URL},
		"annotated tag":  {url: r.URL + "#v1"},
		"commit":         {url: r.URL + "#" + commit},
		"subdirectory":   {url: r.URL + "#main:sub/dir"},
		"query":          {url: r.URL + "?tag=v1&subdir=sub/dir&checksum=" + commit[:20]},
		"another file":   {url: r.URL, file: "sub/dir/Dockerfile"},
		"symbolic link":  {url: r.URL, file: "link.Dockerfile"},
		"time of commit": {url: r.URL + "#v1", args: map[string]string{"SOURCE_DATE_EPOCH": "context"}},
		"keep .git":      {url: r.URL, args: map[string]string{"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}},
		"named":          {url: r.URL, file: "named.Dockerfile", contexts: map[string]string{"repo": r.URL + "#v1:sub/dir"}},
		"archive":        {url: s.URL + "/files/app.tar"},
		"in an archive":  {url: s.URL + "/files/app.tar", file: "web/app.Dockerfile"},
		"archive's time": {url: s.URL + "/files/app.tar", args: map[string]string{"SOURCE_DATE_EPOCH": "context"}},
		"Dockerfile":     {url: s.URL + "/files/lone"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := []string{"plan", "--json", "--platform", "linux/amd64,linux/arm64"}
			attrs := map[string]string{"context": test.url}
			if test.file != "" {
				flags, attrs["filename"] = append(flags, "-f", test.file), test.file
			}
			for arg, value := range test.args {
				flags, attrs["build-arg:"+arg] = append(flags, "--build-arg", arg+"="+value), value
			}
			for arg, value := range test.contexts {
				flags, attrs["context:"+arg] = append(flags, "--build-context", arg+"="+value), value
			}
			checkVertices(t, plannedDigests(t, append(flags, test.url)), attrs)
		})
	}
}

// archive makes a tar file.
func archive(t *testing.T, name string, files map[string]string) {
	t.Helper()
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w := tar.NewWriter(out)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// plannedDigests are those of all steps of a plan, by platform.
func plannedDigests(t *testing.T, flags []string) map[string]bool {
	t.Helper()
	var plan struct {
		Steps []struct{ Digests []string }
	}
	if err := json.Unmarshal([]byte(mabuild(t, flags...).stdout), &plan); err != nil {
		t.Fatal(err)
	}
	planned := make(map[string]bool)
	for _, step := range plan.Steps {
		for _, d := range step.Digests {
			planned[d] = true
		}
	}
	return planned
}

// checkVertices builds for each platform, as BuildKit does by itself, and compares.
func checkVertices(t *testing.T, planned map[string]bool, attrs map[string]string) {
	t.Helper()
	mabuild(t, "engine", "du") // starts the engine
	daemon, err := client.New(t.Context(), "unix://"+filepath.Join(shared.state, "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	seen := make(map[string]bool)
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		attrs["platform"] = platform
		status, done := make(chan *client.SolveStatus), make(chan struct{})
		go func() {
			defer close(done)
			for s := range status {
				for _, v := range s.Vertexes {
					if !planned[v.Digest.String()] && !seen[v.Digest.String()] && !lookup(v.Name) {
						t.Errorf("%s: BuildKit does %q, which the plan has not", platform, v.Name)
					}
					seen[v.Digest.String()] = true
				}
			}
		}()
		_, err := daemon.Solve(t.Context(), nil, client.SolveOpt{Frontend: "dockerfile.v0", FrontendAttrs: attrs}, status)
		<-done
		if err != nil {
			t.Fatal(err)
		}
	}
	for digest := range planned {
		if !seen[digest] {
			t.Errorf("the plan has a step %s that BuildKit does not", digest)
		}
	}
}

// lookup reports whether a vertex is about what the frontend asks for, which is no
// operation.
func lookup(name string) bool {
	for _, part := range []string{"[internal] load metadata", "[internal] resolve", "resolve image config", "load metadata for"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
