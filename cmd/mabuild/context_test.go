package main

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mabuild/mabuild/builder/contexts/contextstest"
)

// TestRemoteScripts plans build contexts that are URLs, of a server on loopback.
func TestRemoteScripts(t *testing.T) {
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	dockerfile := "FROM scratch AS base\nCOPY . /src\nFROM base\nCOPY x /x\n"
	commit := r.Commit("main", map[string]string{"Dockerfile": dockerfile, "docker/web.Dockerfile": dockerfile})
	other := s.Repository(t, "other")
	other.Commit("main", map[string]string{"docker/Dockerfile": dockerfile})
	packed, err := os.Create(filepath.Join(s.Files, "app.tar"))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(packed)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(dockerfile)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"web.Dockerfile": dockerfile, "page": "<!doctype html>\n"} {
		if err := os.WriteFile(filepath.Join(s.Files, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "remote"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("MABUILD_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("TMPDIR", filepath.Join(env.WorkDir, "tmp"))
			env.Setenv("GIT", r.URL)
			env.Setenv("OTHER", other.URL)
			env.Setenv("PRIVATE", strings.NewReplacer("://", "://robot:s3cr3t@", "/git/", "/private/").Replace(r.URL))
			env.Setenv("FILES", s.URL+"/files")
			env.Setenv("COMMIT", commit)
			return os.Mkdir(filepath.Join(env.WorkDir, "tmp"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}
