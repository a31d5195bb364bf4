// Package contextstest serves git repositories and files over http, on loopback,
// for tests of build contexts that are URLs.
package contextstest

import (
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Server has the repositories of a test under /git, by git's own http backend, and
// under /dumb as plain files. What is in Files is under /files.
type Server struct {
	URL   string
	Files string // a directory

	repositories string
	mu           sync.Mutex
	requests     []string
}

// New starts a server that ends with the test. It skips the test if there is no git.
func New(t testing.TB) *Server {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Skip("git is not installed")
	}
	s := &Server{Files: t.TempDir(), repositories: t.TempDir()}
	mux := http.NewServeMux()
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"), Root: "/git",
		Env:        []string{"GIT_PROJECT_ROOT=" + s.repositories, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		InheritEnv: []string{"PATH"},
	}
	mux.Handle("/git/", backend)
	mux.Handle("/dumb/", http.StripPrefix("/dumb/", http.FileServer(http.Dir(s.repositories))))
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(s.Files))))
	mux.Handle("/private/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if password != "hunter2" || user != "robot" && user != "x-access-token" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		r.URL.Path = "/git/" + strings.TrimPrefix(r.URL.Path, "/private/")
		r.RequestURI = ""
		backend.ServeHTTP(w, r)
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Requests returns what the server was asked for since the last call.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

// Repository is one that the server has.
type Repository struct {
	URL string // ends in .git

	t   testing.TB
	dir string
}

// Repository makes a repository with the branch main, which has no commit yet.
func (s *Server) Repository(t testing.TB, name string, initFlags ...string) *Repository {
	t.Helper()
	r := &Repository{URL: s.URL + "/git/" + name + ".git", t: t, dir: filepath.Join(s.repositories, name+".git")}
	run(t, s.repositories, append(append([]string{"-c", "init.defaultBranch=main", "init", "--quiet"}, initFlags...), "--bare", r.dir)...)
	r.Git("config", "uploadpack.allowFilter", "true")
	return r
}

// Git runs git in the repository and returns what it prints, without the last line
// end.
func (r *Repository) Git(args ...string) string {
	r.t.Helper()
	return run(r.t, r.dir, args...)
}

// Commit makes a commit with these files alone on top of a branch and returns its
// digest. Text that starts with "-> " makes a symbolic link.
func (r *Repository) Commit(branch string, files map[string]string) string {
	r.t.Helper()
	work := r.t.TempDir()
	for name, text := range files {
		path := filepath.Join(work, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	index := filepath.Join(r.t.TempDir(), "index")
	in := []string{"--work-tree=" + work, "--git-dir=" + r.dir}
	git := func(args ...string) string {
		return runEnv(r.t, work, []string{"GIT_INDEX_FILE=" + index}, append(append([]string{}, in...), args...)...)
	}
	git("add", "--all", ".")
	tree := git("write-tree")
	args := []string{"commit-tree", "-m", "test", tree}
	if parent, err := exec.CommandContext(r.t.Context(), "git", "--git-dir="+r.dir, "rev-parse", "--verify", "--quiet", "refs/heads/"+branch).Output(); err == nil {
		args = append(args, "-p", strings.TrimSpace(string(parent)))
	}
	commit := git(args...)
	git("update-ref", "refs/heads/"+branch, commit)
	git("update-server-info")
	return commit
}

func run(t testing.TB, dir string, args ...string) string {
	t.Helper()
	return runEnv(t, dir, nil, args...)
}

func runEnv(t testing.TB, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com",
		"GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
