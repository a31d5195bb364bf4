package contexts_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/contexts"
	"github.com/mabuild/mabuild/builder/contexts/contextstest"
)

func client(t testing.TB, opts contexts.Options) *contexts.Client {
	t.Helper()
	if opts.TempDir == "" {
		opts.TempDir = t.TempDir()
	}
	c := contexts.New(opts)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(opts.TempDir); err != nil || len(left) > 0 {
			t.Errorf("Close leaves %v %v", left, err)
		}
	})
	return c
}

// TestReferences is case 43: what a reference means is BuildKit's choice.
func TestReferences(t *testing.T) {
	t.Parallel()
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	first := r.Commit("main", map[string]string{"Dockerfile": "FROM first\n"})
	r.Git("-c", "user.name=t", "-c", "user.email=t@example.com", "tag", "-a", "-m", "x", "v1", first)
	tag := r.Git("rev-parse", "v1")
	r.Git("tag", "light", first)
	r.Git("update-ref", "refs/pull/7/head", first)
	second := r.Commit("main", map[string]string{"Dockerfile": "FROM second\n", "sub/dir/Dockerfile": "FROM sub\n"})
	r.Git("branch", "both", second)
	r.Git("tag", "both", first)
	r.Git("update-server-info")

	for name, test := range map[string]struct {
		commit, ref, text string
	}{
		"":                               {second, "refs/heads/main", "FROM second\n"},
		"#main":                          {second, "refs/heads/main", "FROM second\n"},
		"#refs/heads/main":               {second, "refs/heads/main", "FROM second\n"},
		"#heads/main":                    {second, "refs/heads/main", "FROM second\n"},
		"#v1":                            {first, "refs/tags/v1", "FROM first\n"},
		"#refs/tags/v1":                  {first, "refs/tags/v1", "FROM first\n"},
		"#light":                         {first, "refs/tags/light", "FROM first\n"},
		"#both":                          {second, "refs/heads/both", "FROM second\n"},
		"?tag=both":                      {first, "refs/tags/both", "FROM first\n"},
		"?branch=both":                   {second, "refs/heads/both", "FROM second\n"},
		"#pull/7/head":                   {first, "refs/pull/7/head", "FROM first\n"},
		"#" + first:                      {first, first, "FROM first\n"},
		"#" + second + ":sub/dir":        {second, second, "FROM sub\n"},
		"#" + tag:                        {first, tag, "FROM first\n"},
		"#main:sub/dir":                  {second, "refs/heads/main", "FROM sub\n"},
		"#:sub/dir/":                     {second, "refs/heads/main", "FROM sub\n"},
		"?ref=main&subdir=sub/dir":       {second, "refs/heads/main", "FROM sub\n"},
		"?ref=v1&checksum=" + first[:12]: {first, "refs/tags/v1", "FROM first\n"},
		"?ref=v1&checksum=" + tag:        {first, "refs/tags/v1", "FROM first\n"},
		"?ref=main&fetch-by-commit&checksum=" + first: {first, "refs/heads/main", "FROM first\n"},
	} {
		for _, protocol := range []string{"/git/", "/dumb/"} {
			if protocol == "/dumb/" && (!strings.HasPrefix(name, "#") || strings.HasPrefix(name, "#:") || strings.Contains(name, "by-commit")) {
				continue // plain files do not say which branch is the default one
			}
			if protocol == "/dumb/" && strings.HasPrefix(name, "#"+tag) {
				continue // nor give out a tag by its digest
			}
			t.Run(protocol+name, func(t *testing.T) {
				t.Parallel()
				url := strings.Replace(r.URL, "/git/", protocol, 1) + name
				opened, err := client(t, contexts.Options{}).Open(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				text, found, err := opened.Dockerfile(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				got := []string{string(opened.Kind), opened.Commit, opened.Ref, string(text), found}
				if diff := cmp.Diff([]string{"git", test.commit, test.ref, test.text, "Dockerfile"}, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				again, err := client(t, contexts.Options{}).Open(t.Context(), opened.Pinned)
				if err != nil || again.Commit != opened.Commit {
					t.Errorf("%s is pinned to %+v, %v", opened.Pinned, again, err)
				}
			})
		}
	}
}

// TestOnce is case 43: a branch that moves during a build is resolved once, however
// many platforms ask at the same time.
func TestOnce(t *testing.T) {
	t.Parallel()
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	first := r.Commit("main", map[string]string{"Dockerfile": "FROM first\n", "big": strings.Repeat("x", 1<<20)})
	c := client(t, contexts.Options{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if opened, err := c.Open(t.Context(), r.URL+"#main"); err != nil || opened.Commit != first {
				t.Errorf("got %+v, %v", opened, err)
			}
		})
	}
	group.Wait()
	listed := 0
	for _, request := range s.Requests() {
		if strings.HasPrefix(request, "GET") {
			listed++
		}
	}
	if listed != 2 { // by ls-remote and by fetch
		t.Errorf("%d requests for references, want 2", listed)
	}
	r.Commit("main", map[string]string{"Dockerfile": "FROM second\n"})
	opened, err := c.Open(t.Context(), r.URL+"#main")
	if err != nil || opened.Commit != first {
		t.Fatalf("after a push: %+v, %v", opened, err)
	}
	if text, _, err := opened.Dockerfile(t.Context(), ""); err != nil || string(text) != "FROM first\n" {
		t.Errorf("after a push: %q, %v", text, err)
	}
}

// TestServers holds that servers that lack something still serve.
func TestServers(t *testing.T) {
	t.Parallel()
	s := contextstest.New(t)
	for name, setUp := range map[string]func(r *contextstest.Repository) (ref string){
		"no filter": func(r *contextstest.Repository) string {
			r.Git("config", "uploadpack.allowFilter", "false")
			return "main"
		},
		"no loose objects":      func(r *contextstest.Repository) string { r.Git("gc", "--quiet"); return "main" },
		"commit without a name": func(r *contextstest.Repository) string { return r.Git("rev-parse", "main~1") },
	} {
		t.Run(name, func(t *testing.T) {
			r := s.Repository(t, strings.ReplaceAll(name, " ", "-"))
			r.Commit("main", map[string]string{"Dockerfile": "FROM a\n"})
			r.Commit("main", map[string]string{"Dockerfile": "FROM a\n", "b": "b"})
			opened, err := client(t, contexts.Options{}).Open(t.Context(), r.URL+"#"+setUp(r))
			if err != nil {
				t.Fatal(err)
			}
			if text, _, err := opened.Dockerfile(t.Context(), ""); err != nil || string(text) != "FROM a\n" {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
	t.Run("sha256", func(t *testing.T) {
		r := s.Repository(t, "long", "--object-format=sha256")
		commit := r.Commit("main", map[string]string{"Dockerfile": "FROM a\n"})
		for _, url := range []string{r.URL, r.URL + "#" + commit} {
			opened, err := client(t, contexts.Options{}).Open(t.Context(), url)
			if err != nil || len(opened.Commit) != 64 || opened.Commit != commit {
				t.Fatalf("%s: %+v, %v", url, opened, err)
			}
		}
	})
}

// TestLinks holds that links lead nowhere but into the context (case 42).
func TestLinks(t *testing.T) {
	t.Parallel()
	r := contextstest.New(t).Repository(t, "links")
	r.Commit("main", map[string]string{
		"real/file": "inside", "secret": "of the repository", "loop": "-> loop", "out": "-> ../../../../../../etc/hostname",
		"absolute": "-> /etc/hostname", "Dockerfile": "-> real/file", "dir": "-> real", "up": "-> real/../real/./file", "etc/hostname": "also inside",
		"sub/Dockerfile": "-> ../secret", "sub/secret": "of the folder",
	})
	c := client(t, contexts.Options{})
	opened, err := c.Open(t.Context(), r.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Dockerfile": "inside", "dir/file": "inside", "up": "inside", "out": "also inside", "absolute": "also inside", "../../etc/hostname": "also inside",
	} {
		if text, err := opened.ReadFile(t.Context(), name); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for name, want := range map[string]string{"loop": "too many symbolic links", "real": "not a regular file", "real/file/x": "not exist"} {
		if text, err := opened.ReadFile(t.Context(), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	sub, err := c.Open(t.Context(), r.URL+"#:sub")
	if err != nil {
		t.Fatal(err)
	}
	if text, _, err := sub.Dockerfile(t.Context(), ""); err != nil || string(text) != "of the folder" {
		t.Errorf("a link that leaves the folder reads %q, %v", text, err)
	}
}

func TestGitErrors(t *testing.T) {
	t.Parallel()
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	commit := r.Commit("main", map[string]string{"docker/Dockerfile.web": "FROM x\n", "file": "x", "link": "-> docker", "x.dockerignore": ""})
	private := strings.Replace(r.URL, "/git/", "/private/", 1)
	for url, want := range map[string][]string{
		"http://127.0.0.1:1/x.git":            {"127.0.0.1", "check the host"},
		s.URL + "/git/none.git":               {"not found", "check the URL"},
		r.URL + "#nope":                       {`no branch or tag "nope"`, "git ls-remote"},
		r.URL + "#" + commit[:10]:             {"all of its 40 digits"},
		r.URL + "#" + strings.Repeat("1", 40): {"no commit 1111", "check the commit"},
		r.URL + "#:nothere/at/all":            {"no folder nothere in commit " + commit[:12], "after the colon"},
		r.URL + "#:file":                      {"file is no folder"},
		r.URL + "#:link":                      {"link is no folder"},
		r.URL + "#--upload-pack=evil":         {"is no name of a branch"},
		r.URL + "?ref=main&checksum=1234":     {"the checksum is 1234", "change checksum="},
		r.URL + "?what=ever":                  {`unexpected query "what"`, "URL#REF:SUBDIR"},
		r.URL + "?ref=main":                   {"there is no Dockerfile in commit " + commit[:12], "it has docker/Dockerfile.web; give the path with -f"},
		private:                               {"credentials", "git ls-remote"},
		strings.Replace(private, "http://", "http://robot:s3cr3t@", 1):            {"credentials", "xxxxx@"},
		strings.Replace(private, "http://", "http://robot:hunter2@", 1) + "#nope": {"no branch or tag", "xxxxx@"},
		"file:///etc":         {"neither a git nor an http(s) URL", "give a directory"},
		"ext::sh -c evil.git": {"neither a git nor an http(s) URL"},
	} {
		t.Run(strings.TrimPrefix(url, s.URL), func(t *testing.T) {
			t.Parallel()
			opened, err := client(t, contexts.Options{}).Open(t.Context(), url)
			if err == nil {
				_, _, err = opened.Dockerfile(t.Context(), "")
			}
			check(t, err, append(want, "reading the build context ")...)
		})
	}
}

// check looks at an error for the user.
func check(t *testing.T, err error, parts ...string) {
	t.Helper()
	var typed *contexts.Error
	if !errors.As(err, &typed) || typed.Hint == "" {
		t.Fatalf("the error tells nobody what to do: %v", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
	for _, secret := range []string{"s3cr3t", "hunter2", "signature", "\x1b"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error says %q: %v", secret, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	r.Commit("main", map[string]string{"Dockerfile": "FROM x\n"})
	url := strings.Replace(strings.Replace(r.URL, "/git/", "/private/", 1), "http://", "http://robot:hunter2@", 1)
	opened, err := client(t, contexts.Options{}).Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := opened.Dockerfile(t.Context(), ""); err != nil {
		t.Error(err)
	}
	_, err = opened.ReadFile(t.Context(), "none")
	if check(t, err); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestNoGit(t *testing.T) {
	t.Parallel()
	_, err := client(t, contexts.Options{Git: filepath.Join(t.TempDir(), "git")}).Open(t.Context(), "https://example.com/x.git")
	check(t, err, "the program git is missing", "install it")
}

// TestKilled holds that git and its helpers end with the context, and that the next
// caller is not told of it.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	started, program := filepath.Join(dir, "started"), filepath.Join(dir, "git")
	script := "#!/bin/sh\ncase \"$*\" in *ls-remote*) (echo $$ >" + started + "; exec sleep 601) & wait;; *) exec git \"$@\";; esac\n"
	syscall.ForkLock.RLock() // what is started meanwhile would have it open, and then it cannot be executed
	err := os.WriteFile(program, []byte(script), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	reason := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for {
			if _, err := os.Stat(started); err == nil || t.Context().Err() != nil {
				cancel(reason)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	c := client(t, contexts.Options{Git: program, TempDir: filepath.Join(dir, "tmp")})
	if _, err := c.Open(ctx, "https://example.com/x.git"); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

// TestPinnedOnce: what was fetched by its branch is not fetched by its commit again.
func TestPinnedOnce(t *testing.T) {
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	r.Commit("main", map[string]string{"Dockerfile": "FROM scratch\n"})
	client := contexts.New(contexts.Options{})
	defer client.Close()
	opened, err := client.Open(t.Context(), r.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.Requests()
	again, err := client.Open(t.Context(), opened.Pinned)
	if err != nil {
		t.Fatal(err)
	}
	if requests := s.Requests(); len(requests) != 0 || again.Commit != opened.Commit {
		t.Errorf("commit %s, requests %q", again.Commit, requests)
	}
}
