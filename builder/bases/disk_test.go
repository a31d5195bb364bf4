package bases_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/registry"
)

// fixed is a registry that says what no real one would.
type fixed struct {
	desc    ocispec.Descriptor
	body    []byte // of desc
	content content
}

func (f fixed) Resolve(context.Context, string) (ocispec.Descriptor, error) { return f.desc, nil }

func (f fixed) Fetch(_ context.Context, _ string, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Digest == f.desc.Digest {
		return f.body, nil
	}
	return f.content[desc.Digest], nil
}

func TestCorruptCache(t *testing.T) {
	for name, spoil := range map[string]func(w *world, path string){
		"flipped":   func(w *world, path string) { w.write(path, flipped(w.t, path)) },
		"truncated": func(w *world, path string) { w.write(path, "") },
		"another":   func(w *world, path string) { w.write(path, string(w.content[w.multi("linux/386").Digest])) },
		"too large": func(w *world, path string) { w.write(path, strings.Repeat(" ", bases.MaxSize+1)) },
		"removed":   func(_ *world, path string) { _ = os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			desc := w.multi(six...)
			ref := w.push("base:v1", desc)
			w.resolve(w.resolver(bases.Options{}), ref)
			spoil(w, w.blob(desc.Digest))
			if _, err := w.resolver(bases.Options{Offline: true}).Resolve(t.Context(), ref); !errors.Is(err, bases.ErrOffline) {
				t.Errorf("offline: %v", err)
			}
			w.proxy.Reset()
			var log bytes.Buffer
			r := w.resolver(bases.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if got := w.resolve(r, ref); got.Digest != desc.Digest || len(got.Manifests) != len(six) {
				t.Errorf("%+v", got)
			}
			w.requests(1, 1, 0)
			if got, _ := os.ReadFile(w.blob(desc.Digest)); !bytes.Equal(got, w.content[desc.Digest]) {
				t.Errorf("the file was left as %.100q", got)
			}
			if warned := strings.Contains(log.String(), desc.Digest.Encoded()); warned != (name != "removed") {
				t.Errorf("log: %s", &log)
			}
		})
	}
}

func flipped(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 1
	return string(body)
}

func TestCorruptTag(t *testing.T) {
	w := newWorld(t)
	desc := w.multi("linux/amd64")
	ref := w.push("base:v1", desc)
	w.resolve(w.resolver(bases.Options{}), ref)
	tags := w.files("tags")
	if len(tags) != 1 {
		t.Fatal(tags)
	}
	good, err := os.ReadFile(tags[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "{}", "null", string(good[:len(good)/2]), string(good) + "{}",
		strings.Replace(string(good), "base:v1", "base:v2", 1),
		strings.Replace(string(good), "sha256:", "sha256:/../", 1),
		strings.Replace(string(good), `"version":1`, `"version":2`, 1),
		strings.Repeat(" ", 5000) + string(good),
	} {
		w.write(tags[0], bad)
		w.proxy.Reset()
		if got := w.resolve(w.resolver(bases.Options{}), ref); got.Digest != desc.Digest {
			t.Errorf("%.40q: %+v", bad, got)
		}
		w.requests(1, 0, 0)
		if again, err := bases.ParseTag(mustRead(t, tags[0])); err != nil || again.Ref != ref {
			t.Errorf("%.40q: left as %+v, %v", bad, again, err)
		}
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestUnreachable(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.proxy)
	ref := strings.TrimPrefix(server.URL, "http://") + "/base:v1"
	desc := w.multi("linux/amd64")
	w.push("base:v1", desc)
	w.resolve(w.resolver(bases.Options{}), ref)
	server.Close()

	w.resolve(w.resolver(bases.Options{}), ref) // within the TTL nobody notices
	for age, want := range map[time.Duration]string{
		70 * time.Second: "1 min ago", 3*time.Hour + time.Minute: "3 h ago", 50 * time.Hour: "2 days ago",
	} {
		w.pass(age)
		_, err := w.resolver(bases.Options{}).Resolve(t.Context(), ref)
		if err == nil || !strings.HasSuffix(err.Error(), "; --offline uses the cached one of "+want) {
			t.Errorf("%v, want %s", err, want)
		}
		var cause *registry.Error
		if !errors.As(err, &cause) || errors.Is(err, bases.ErrOffline) {
			t.Errorf("%#v", err)
		}
		w.pass(-age)
	}
	w.pass(time.Hour)
	if got := w.resolve(w.resolver(bases.Options{Offline: true}), ref); got.Digest != desc.Digest {
		t.Errorf("%+v", got)
	}
	// There is nothing to go offline with.
	other := strings.Replace(ref, "v1", "v2", 1)
	if _, err := w.resolver(bases.Options{}).Resolve(t.Context(), other); err == nil || strings.Contains(err.Error(), "--offline") {
		t.Error(err)
	}
	if err := os.Remove(w.blob(desc.Digest)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.resolver(bases.Options{}).Resolve(t.Context(), ref); err == nil || strings.Contains(err.Error(), "--offline") {
		t.Error(err)
	}
}

func TestWithoutDisk(t *testing.T) {
	w := newWorld(t)
	ref := w.push("base:v1", w.multi(six...))
	file := filepath.Join(t.TempDir(), "file")
	w.write(file, "not a folder")
	for name, setUp := range map[string]func(t *testing.T) bases.Options{
		"no folder can be made": func(*testing.T) bases.Options {
			return bases.Options{Registry: w.client, Dir: filepath.Join(file, "bases")}
		},
		"no home": func(t *testing.T) bases.Options {
			for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
				t.Setenv(name, "")
			}
			return bases.Options{Registry: w.client}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.proxy.Reset()
			r := bases.New(setUp(t))
			for range 3 {
				base := w.resolve(r, ref)
				if _, err := r.Config(t.Context(), ref, base.Manifests[1]); err != nil {
					t.Error(err)
				}
			}
			w.requests(1, 2, 1)
			if err := r.Prune(time.Hour); (err == nil) != (name == "no home") {
				t.Errorf("pruning: %v", err)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t)
	old := w.push("old:v1", w.multi("linux/amd64"))
	used := w.push("used:v1", w.multi("linux/arm64"))
	first := w.resolver(bases.Options{})
	w.resolve(first, old)
	w.resolve(first, used)
	w.write(filepath.Join(w.dir, "tmp", "left"), "by a process that was killed")
	w.write(filepath.Join(w.dir, "mine"), "somebody else's")

	w.pass(20 * 24 * time.Hour)
	w.resolve(w.resolver(bases.Options{Offline: true}), used)
	w.pass(11 * 24 * time.Hour)
	w.resolve(w.resolver(bases.Options{Offline: true}), used) // reading cleans nothing up
	if got := len(w.files("blobs")); got != 2 {
		t.Errorf("%d blobs", got)
	}
	// The first one that writes does.
	w.resolve(w.resolver(bases.Options{}), w.push("new:v1", w.multi("linux/386")))
	if blobs, tags, tmp := len(w.files("blobs")), len(w.files("tags")), len(w.files("tmp")); blobs != 2 || tags != 2 || tmp != 0 {
		t.Errorf("%d blobs, %d tags, %d tmp", blobs, tags, tmp)
	}
	offline := w.resolver(bases.Options{Offline: true})
	w.resolve(offline, used)
	if _, err := offline.Resolve(t.Context(), old); !errors.Is(err, bases.ErrOffline) {
		t.Error(err)
	}
	// Nobody does a second time on that day, unless told to.
	w.pass(23 * time.Hour)
	again := w.resolver(bases.Options{TTL: -1})
	w.resolve(again, w.ref("new:v1"))
	if got := len(w.files("tags")); got != 2 {
		t.Errorf("%d tags", got)
	}
	if err := again.Prune(time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := len(w.files("tags")); got != 1 { // that of new
		t.Errorf("%d tags", got)
	}
	mustRead(t, filepath.Join(w.dir, "mine"))
}
