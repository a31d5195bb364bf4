package tools_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/tools"
)

// The tag moves on, the tools don't: neither those that are there, nor another one
// from the same image, nor one that has gone from the cache.
func TestLocked(t *testing.T) {
	b := newBed(t, oci())
	paths, _ := mustFind(t, b.opts, "aarch64")
	b.store.push(t, b.opts.Images.QEMU, b.store.binfmt(t, "2.0", "aarch64", "arm", "riscv64"))
	b.proxy.Reset()

	_, got := mustFind(t, b.opts, "aarch64", "arm")
	want := map[string]string{"aarch64": "qemu-aarch64 version 1.0", "arm": "qemu-arm version 1.0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tools differ (-want +got):\n%s", diff)
	}
	if n := b.proxy.Count("", "/manifests/latest$"); n > 0 {
		t.Errorf("the tag was resolved again:\n%s", asked(b.proxy))
	}
	if err := os.Remove(paths.QEMU["aarch64"].Path); err != nil {
		t.Fatal(err)
	}
	again, got := mustFind(t, b.opts, "aarch64")
	if got["aarch64"] != want["aarch64"] || again.QEMU["aarch64"] != paths.QEMU["aarch64"] {
		t.Errorf("after its removal, it is %v with %q", again.QEMU["aarch64"], got["aarch64"])
	}
	_, err := tools.Find(t.Context(), b.opts, needs("riscv64"))
	checkError(t, err, tools.ErrNotInImage, "has no /usr/bin/qemu-riscv64")
}

func TestRefresh(t *testing.T) {
	b := newBed(t, oci())
	versions := map[string]string{} // paths
	find := func(version string, refresh bool) {
		t.Helper()
		b.opts.Refresh = refresh
		paths, got := mustFind(t, b.opts, "arm", "runc")
		if got["arm"] != "qemu-arm version "+version || got["runc"] != "runc version 1.0" {
			t.Errorf("got %v, want %s", got, version)
		}
		versions[version] = paths.QEMU["arm"].Path
	}
	find("1.0", false)
	mustFind(t, b.opts, "aarch64")
	b.proxy.Reset()
	find("1.0", true)
	if n := b.proxy.Count("", registrytest.Blobs); n > 0 {
		t.Errorf("a refresh without news downloaded:\n%s", asked(b.proxy))
	}
	b.opts.Offline = true
	b.opts.Refresh = false
	mustFind(t, b.opts, "aarch64") // which is still there
	b.opts.Offline = false
	for _, version := range []string{"2.0", "3.0"} {
		before := versions["1.0"]
		b.store.push(t, b.opts.Images.QEMU, b.store.binfmt(t, version, "aarch64", "arm"))
		find(map[string]string{"2.0": "1.0", "3.0": "2.0"}[version], false)
		find(version, true)
		find(version, false)
		_, err := os.Stat(before)
		if kept := err == nil; kept != (version == "2.0") {
			t.Errorf("after the refresh to %s, version 1.0 is kept: %v", version, kept)
		}
	}
	l, err := tools.ReadLock(b.opts.Dir)
	if err != nil || len(l.Images) != 2 {
		t.Errorf("the lock file has %d images (%v)", len(l.Images), err)
	}

	// A refresh that fails leaves all as it was.
	b.opts.Refresh = true
	b.store.push(t, b.opts.Images.QEMU, b.store.binfmt(t, "4.0", "arm"))
	b.proxy.Add(registrytest.Rule{Method: "GET", Path: registrytest.Blobs, Fault: registrytest.Status(404, "")})
	if _, err := tools.Find(t.Context(), b.opts, needs("arm")); err == nil {
		t.Error("the refresh succeeded")
	}
	b.proxy.Reset()
	find("3.0", false)
}

func TestTampered(t *testing.T) {
	overwrite := func(content func([]byte) []byte) func(string) error {
		return func(path string) error {
			before, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, content(before), 0o755)
		}
	}
	tests := []struct {
		name   string
		change func(path string) error
		is     error
		want   string
	}{
		{"changed", overwrite(func(c []byte) []byte { c[len(c)-2] ^= 1; return c }), tools.ErrTampered, "the lock file says sha256:"},
		{"longer", overwrite(func(c []byte) []byte { return append(c, 0) }), tools.ErrTampered, "bytes and the lock file says"},
		{"empty", overwrite(func([]byte) []byte { return nil }), tools.ErrTampered, "it has 0 bytes"},
		{
			"a link to the same", func(path string) error {
				return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path))
			}, tools.ErrTampered, "no regular file",
		},
		{"a folder", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, tools.ErrTampered, "no regular file"},
		{"not executable", func(path string) error { return os.Chmod(path, 0o644) }, tools.ErrUnusable, "noexec"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, oci())
			paths, _ := mustFind(t, b.opts, "arm", "aarch64")
			if err := test.change(paths.QEMU["arm"].Path); err != nil {
				t.Fatal(err)
			}
			b.proxy.Reset()
			_, err := tools.Find(t.Context(), b.opts, needs("arm"))
			checkError(t, err, test.is, test.want)
			if got := asked(b.proxy); got != "" {
				t.Errorf("it was fetched again:\n%s", got)
			}
			mustFind(t, b.opts, "aarch64")
		})
	}
}

// What a locked manifest has must be what the lock file says.
func TestLockDiffers(t *testing.T) {
	b := newBed(t, oci())
	paths, _ := mustFind(t, b.opts, "arm")
	l, err := tools.ReadLock(b.opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Images[0].Files[0].Digest = b.qemu.Digest
	if err := errors.Join(tools.WriteLock(b.opts.Dir, l), os.Remove(paths.QEMU["arm"].Path)); err != nil {
		t.Fatal(err)
	}
	_, err = tools.Find(t.Context(), b.opts, needs("arm"))
	checkError(t, err, tools.ErrDigest, "in the lock file")
	if _, err := os.Stat(paths.QEMU["arm"].Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file was put into the cache (%v)", err)
	}
}

func TestLockedImageGone(t *testing.T) {
	b := newBed(t, oci())
	mustFind(t, b.opts, "arm")
	b.proxy.Add(registrytest.Rule{Path: registrytest.Manifests, Fault: registrytest.Refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")})
	_, err := tools.Find(t.Context(), b.opts, needs("aarch64"))
	checkError(t, err, nil, "remove "+filepath.Join(b.opts.Dir, tools.LockFile))
}

// A cache without a lock file is no cache: nothing says what its files are.
func TestLockRemoved(t *testing.T) {
	b := newBed(t, oci())
	paths, _ := mustFind(t, b.opts, "arm")
	planted := paths.QEMU["arm"].Path
	if err := errors.Join(os.Remove(filepath.Join(b.opts.Dir, tools.LockFile)), os.WriteFile(planted, []byte("planted"), 0o755)); err != nil {
		t.Fatal(err)
	}
	again, got := mustFind(t, b.opts, "arm")
	if got["arm"] != "qemu-arm version 1.0" || again.QEMU["arm"].Path != planted {
		t.Errorf("got %q from %v", got["arm"], again)
	}
}

func TestCacheRefuses(t *testing.T) {
	b := newBed(t, oci())
	lockFile := filepath.Join(b.opts.Dir, tools.LockFile)
	if err := errors.Join(os.Mkdir(b.opts.Dir, 0o755), os.WriteFile(lockFile, []byte("{}"), 0o644)); err != nil {
		t.Fatal(err)
	}
	_, err := tools.Find(t.Context(), b.opts, needs("arm"))
	checkError(t, err, tools.ErrLock, "remove it")

	if err := errors.Join(os.Remove(lockFile), os.Chmod(b.opts.Dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	_, err = tools.Find(t.Context(), b.opts, needs("arm"))
	checkError(t, err, nil, "everybody may write in")

	b.opts.Dir = lockFile + "/below"
	if err := os.WriteFile(lockFile, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = tools.Find(t.Context(), b.opts, needs("arm")); err == nil {
		t.Error("the cache was made below a file")
	}
}

// Content that isn't what its digest says is never taken apart.
func TestDigest(t *testing.T) {
	short := registrytest.Body(func(body []byte) []byte { return body[:len(body)/2] })
	long := registrytest.Body(func(body []byte) []byte { return append(body, 0) })
	renamed := registrytest.Body(func(body []byte) []byte { return bytes.ReplaceAll(body, []byte("linux"), []byte("minix")) })
	for name, rule := range map[string]registrytest.Rule{
		"changed layer":    {Path: registrytest.Blobs, Fault: registrytest.Flip()},
		"truncated layer":  {Path: registrytest.Blobs, Fault: short},
		"longer layer":     {Path: registrytest.Blobs, Fault: long},
		"changed index":    {Path: `/manifests/sha256:`, Fault: renamed},
		"changed manifest": {Path: `/manifests/sha256:`, Skip: 1, Fault: registrytest.Flip()},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, oci())
			rule.Method = http.MethodGet
			b.proxy.Add(rule)
			_, err := tools.Find(t.Context(), b.opts, needs("arm"))
			checkError(t, err, tools.ErrDigest, "try again")
			checkNothingCached(t, b.opts)
			b.proxy.Reset()
			mustFind(t, b.opts, "arm")
		})
	}
}

// A download that breaks is an error that can be tried again, if it can't be taken up.
func TestBrokenDownload(t *testing.T) {
	b := newBed(t, oci())
	b.proxy.Add(registrytest.Rule{Method: http.MethodGet, Path: registrytest.Blobs, Fault: registrytest.Cut(50)})
	if _, err := tools.Find(t.Context(), b.opts, needs("arm")); err == nil {
		t.Error("there is no error")
	}
	checkNothingCached(t, b.opts)
	b.proxy.Reset()
	mustFind(t, b.opts, "arm")
}

// closedPort is an address at which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestOffline(t *testing.T) {
	b := newBed(t, oci())
	mustFind(t, b.opts, "arm", "runc")
	empty := b.opts
	empty.Dir = t.TempDir()
	unreachable := empty
	unreachable.Images = tools.Images{QEMU: closedPort(t) + "/binfmt", Runc: closedPort(t) + "/buildkit"}
	for name, opts := range map[string]tools.Options{"told so": b.opts, "no registry": b.opts, "empty": empty, "empty without registry": empty, "unreachable": unreachable} {
		t.Run(name, func(t *testing.T) {
			opts.Offline = name == "told so" || name == "empty"
			if strings.Contains(name, "registry") {
				opts.Registry = nil
			}
			b.proxy.Reset()
			if opts.Dir == b.opts.Dir {
				mustFind(t, opts, "arm", "runc") // the cache has them
			}
			_, err := tools.Find(t.Context(), opts, needs("aarch64"))
			checkError(t, err, tools.ErrOffline, "apt-get install qemu-user-static`, or name an image that this machine can fetch: --tools-image HOST/NAME:TAG")
			opts.Refresh = true
			_, err = tools.Find(t.Context(), opts, needs("runc"))
			checkError(t, err, tools.ErrOffline, "apt-get install runc`, or name an image that this machine can fetch: --tools-image runc=HOST/NAME:TAG")
			if got := asked(b.proxy); got != "" {
				t.Errorf("the registry was asked:\n%s", got)
			}
		})
	}
	_, err := tools.Find(t.Context(), tools.Options{Mode: tools.ImageOnly, Dir: t.TempDir(), Offline: true}, needs("arm", "s390x", "runc"))
	checkError(t, err, tools.ErrOffline, "getting qemu-arm, qemu-s390x and runc: ")
	checkError(t, err, tools.ErrOffline, "apt-get install qemu-user-static runc`")
}
