package contexts_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/contexts"
)

// pack makes a tar archive. Text starting with "-> " makes a symbolic link, with
// "=> " a hard one.
func pack(t testing.TB, files ...[2]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, file := range files {
		header := &tar.Header{Name: file[0], Mode: 0o644, Size: int64(len(file[1])), Typeflag: tar.TypeReg, ModTime: time.Unix(1e9, 0)}
		if target, ok := strings.CutPrefix(file[1], "-> "); ok {
			header.Typeflag, header.Linkname, header.Size = tar.TypeSymlink, target, 0
		} else if target, ok := strings.CutPrefix(file[1], "=> "); ok {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, target, 0
		} else if strings.HasSuffix(file[0], "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			if _, err := io.WriteString(w, file[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func zip(t testing.TB, text []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func through(t testing.TB, text []byte, program string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// serve answers every request with a body.
func serve(t testing.TB, body []byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestArchives(t *testing.T) {
	t.Parallel()
	plain := pack(t, [2]string{"./", ""}, [2]string{"./Dockerfile", "FROM old\n"}, [2]string{"pad", strings.Repeat("x", 1<<20)},
		[2]string{"sub/", ""}, [2]string{"sub/file", "in sub"}, [2]string{"Dockerfile", "FROM new\n"}, [2]string{"link", "-> sub"},
		[2]string{"link/through", "by the link"}, [2]string{"hard", "=> sub/file"}, [2]string{"abs", "-> /../../sub/through"}, [2]string{"implied/dir/f", "f"})
	for name, compress := range map[string]func(t *testing.T) []byte{
		"tar":   func(*testing.T) []byte { return plain },
		"gzip":  func(t *testing.T) []byte { return zip(t, plain) },
		"bzip2": func(t *testing.T) []byte { return through(t, plain, "bzip2") },
		"xz":    func(t *testing.T) []byte { return through(t, plain, "xz") },
		"zstd": func(t *testing.T) []byte {
			w, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			return w.EncodeAll(plain, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := compress(t)
			opened, err := client(t, contexts.Options{}).Open(t.Context(), serve(t, body)+"/app.tar?token=signature")
			if err != nil {
				t.Fatal(err)
			}
			if opened.Kind != contexts.Archive || opened.Digest != digest.FromBytes(body) {
				t.Errorf("got %+v", opened)
			}
			got := map[string]string{}
			for _, file := range []string{"Dockerfile", "link/file", "sub/through", "hard", "abs", "implied/dir/f", "implied/../hard"} {
				text, err := opened.ReadFile(t.Context(), file)
				if err != nil {
					t.Error(err)
				}
				got[file] = string(text)
			}
			want := map[string]string{
				"Dockerfile": "FROM new\n", "link/file": "in sub", "sub/through": "by the link", "hard": "in sub", "abs": "by the link",
				"implied/dir/f": "f", "implied/../hard": "in sub",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoneDockerfile(t *testing.T) {
	t.Parallel()
	url := serve(t, []byte("FROM base\n"))
	opened, err := client(t, contexts.Options{}).Open(t.Context(), url+"/app.Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text, name, err := opened.Dockerfile(t.Context(), "")
	if err != nil || string(text) != "FROM base\n" || name != "app.Dockerfile" || opened.Kind != contexts.File {
		t.Errorf("got %q in %q, %v", text, name, err)
	}
	_, _, err = opened.Dockerfile(t.Context(), "other")
	check(t, err, "it is one file, so there is no other in it", "leave -f away")
}

func TestLowerCase(t *testing.T) {
	t.Parallel()
	opened, err := client(t, contexts.Options{}).Open(t.Context(), serve(t, pack(t, [2]string{"x/dockerfile", "FROM small\n"})))
	if err != nil {
		t.Fatal(err)
	}
	if text, name, err := opened.Dockerfile(t.Context(), "x/Dockerfile"); err != nil || string(text) != "FROM small\n" || name != "x/dockerfile" {
		t.Errorf("got %q in %q, %v", text, name, err)
	}
}

func TestHTTPErrors(t *testing.T) {
	t.Parallel()
	damaged := pack(t, [2]string{"a", strings.Repeat("ab", 1000)}, [2]string{"b", "b"})
	secret := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "http://robot:hunter2@127.0.0.1:1/x?token=signature", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop?token=signature", http.StatusFound)
		case "/denied":
			w.WriteHeader(http.StatusForbidden)
		default:
			http.NotFound(w, r)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(secret))
	t.Cleanup(s.Close)
	var links [][2]string
	for range 3000 {
		links = append(links, [2]string{strings.Repeat("a/", 2000) + "x", ""}, [2]string{"l", "-> a"})
	}
	for name, test := range map[string]struct {
		url  string
		body []byte
		opts contexts.Options
		file string
		want []string
	}{
		"unreachable":      {url: "http://robot:hunter2@127.0.0.1:1/x.tar?token=signature", want: []string{"http://xxxxx@127.0.0.1:1/x.tar?…", "connection refused", "check the host"}},
		"redirect":         {url: s.URL + "/redirect", want: []string{"connection refused"}},
		"redirect forever": {url: s.URL + "/loop", want: []string{"stopped after 10 redirects"}},
		"not found":        {url: s.URL + "/x.tar", want: []string{"404 Not Found", "check the URL"}},
		"denied":           {url: s.URL + "/denied", want: []string{"403 Forbidden", "credentials"}},
		"no host":          {url: "http:///x.tar", want: []string{"no host"}},
		"bad port":         {url: "http://x:port/x.tar", want: []string{"invalid port", "check the URL"}},
		"too large":        {body: make([]byte, 2<<20), opts: contexts.Options{MaxSize: 1 << 20}, want: []string{"larger than 1 MiB", "give the directory"}},
		"bomb":             {body: zip(t, pack(t, [2]string{"x", strings.Repeat("\x00", 9<<20)})), opts: contexts.Options{MaxSize: 1 << 20}, want: []string{"larger than 8 MiB"}},
		"compressed text":  {body: zip(t, []byte("FROM base\n")), want: []string{"compressed, but no tar archive", "made by tar"}},
		"damaged":          {body: damaged[:1500], want: []string{"damaged", "pack it anew"}},
		"damaged gzip":     {body: []byte("\x1f\x8b\x08"), want: []string{"no valid gzip"}},
		"damaged xz":       {body: []byte("\xfd7zXZ\x00damaged and more of it"), want: []string{"xz"}},
		"damaged zstd":     {body: []byte("\x28\xb5\x2f\xfdxxxxxx"), want: []string{"no tar archive"}},
		"web page":         {body: []byte("\n<!DOCTYPE html>\n<html>"), want: []string{"web page", "ends in .git"}},
		"binary":           {body: []byte("\x7fELF\x00\x01"), want: []string{"neither a tar archive nor a Dockerfile"}},
		"empty":            {body: []byte(" \n"), want: []string{"is empty"}},
		"escape":           {body: pack(t, [2]string{"a", "a"}, [2]string{"../../x", "x"}), want: []string{"leads out of it", "refuses"}},
		"no Dockerfile":    {body: pack(t, [2]string{"app-1.2/Dockerfile", "x"}), want: []string{"there is no Dockerfile", "it has app-1.2/Dockerfile; give the path with -f"}},
		"no such file":     {body: pack(t, [2]string{"x", "x"}), file: "a/b", want: []string{"there is no a/b in it", "give the path of the Dockerfile with -f"}},
		"outside":          {body: pack(t, [2]string{"x", "x"}), file: "../b", want: []string{"outside of it", "inside the context"}},
		"folder":           {body: pack(t, [2]string{"x/y", "x"}), file: "x", want: []string{"not a regular file"}},
		"large Dockerfile": {body: zip(t, pack(t, [2]string{"Dockerfile", strings.Repeat("#", 17<<20)})), want: []string{"larger than 16 MiB"}},
		"long names":       {body: zip(t, pack(t, [2]string{strings.Repeat("a/", 40000) + "x", ""})), want: []string{"too many files or links"}},
		"deep folders":     {body: zip(t, pack(t, links...)), want: []string{"too many files or links"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := test.url
			if url == "" {
				url = serve(t, test.body)
			}
			opened, err := client(t, test.opts).Open(t.Context(), url)
			if err == nil {
				_, _, err = opened.Dockerfile(t.Context(), test.file)
			}
			check(t, err, test.want...)
		})
	}
}

func TestNoXZ(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := client(t, contexts.Options{}).Open(t.Context(), serve(t, []byte("\xfd7zXZ\x00")))
	check(t, err, "the program xz is missing", "install xz-utils")
}

// TestStalled holds that a server that stops sending keeps nobody longer than the
// context, and the next one is served.
func TestStalled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	stall := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "FROM ")
		if stall {
			stall = false
			_ = http.NewResponseController(w).Flush()
			asked <- struct{}{}
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "base\n")
	}))
	t.Cleanup(s.Close)
	c := client(t, contexts.Options{})
	reason := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-asked
		cancel(reason)
	}()
	if _, err := c.Open(ctx, s.URL); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Open(t.Context(), s.URL); err != nil {
		t.Error(err)
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(pack(f, [2]string{"Dockerfile", "FROM x"}, [2]string{"l", "-> ../l"}), "Dockerfile")
	f.Add(pack(f, [2]string{"a", "-> b"}, [2]string{"b", "-> a"}, [2]string{"a/x", "=> a"}), "a/x")
	f.Add(zip(f, pack(f, [2]string{"x/", ""}, [2]string{"x/y", "y"})), "/x/../x/y")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		if bytes.HasPrefix(body, []byte("\xfd7zXZ")) {
			return // another program's business
		}
		file := filepath.Join(dir, "archive")
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := contexts.ReadArchive(t.Context(), file, name, 1<<20)
		if err == nil && len(text) > 1<<20 {
			t.Error("the limit does not hold")
		}
	})
}
