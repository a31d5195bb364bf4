package tools_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/tools"
)

// mustFind finds tools and returns what each answers to --version, in short.
func mustFind(t *testing.T, opts tools.Options, names ...string) (tools.Paths, map[string]string) {
	t.Helper()
	paths, err := tools.Find(t.Context(), opts, needs(names...))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range names {
		tool := paths.QEMU[name]
		if name == "runc" {
			tool = paths.Runc
		}
		out, err := exec.CommandContext(t.Context(), tool.Path, "--version").CombinedOutput()
		if err != nil {
			t.Fatalf("running %s: %v\n%s", tool.Path, err, out)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		got[name] = line
	}
	return paths, got
}

// Both registries, all media types and compressions: the tools are fetched once, run,
// and come from the cache afterwards.
func TestFind(t *testing.T) {
	servers := map[string]func(*testing.T) http.Handler{
		"memory":       func(*testing.T) http.Handler { return registrytest.Memory() },
		"distribution": func(t *testing.T) http.Handler { return registrytest.Distribution(t) },
	}
	for server, start := range servers {
		for name, f := range families() {
			t.Run(server+" "+name, func(t *testing.T) {
				proxy, s := registrytest.New(t, start(t)), newStore(f)
				opts := tools.Options{
					Mode: tools.ImageOnly, Dir: t.TempDir() + "/cache/tools", Registry: client(t),
					Images: tools.Images{QEMU: proxy.Host() + "/tonistiigi/binfmt", Runc: proxy.Host() + "/moby/buildkit:v1"},
				}
				s.push(t, opts.Images.QEMU, s.binfmt(t, "1.0", "aarch64", "arm", "riscv64"))
				s.push(t, opts.Images.Runc, s.buildkit(t, "1.0"))
				want := map[string]string{
					"aarch64": "qemu-aarch64 version 1.0", "riscv64": "qemu-riscv64 version 1.0", "runc": "runc version 1.0",
				}
				paths, got := mustFind(t, opts, "aarch64", "riscv64", "runc")
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the tools answer (-want +got):\n%s", diff)
				}
				checkCache(t, opts, paths)
				proxy.Reset()
				again, _ := mustFind(t, opts, "aarch64", "riscv64", "runc")
				if diff := cmp.Diff(paths, again); diff != "" {
					t.Errorf("the second time differs (-first +second):\n%s", diff)
				}
				if got := asked(proxy); got != "" {
					t.Errorf("the second time the registry was asked:\n%s", got)
				}
			})
		}
	}
}

// checkCache compares the cache and the lock file with what Find returned.
func checkCache(t *testing.T, opts tools.Options, paths tools.Paths) {
	t.Helper()
	l, err := tools.ReadLock(opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	locked := map[string]string{} // paths by sources
	for _, image := range l.Images {
		if image.Index == "" || image.Locked.IsZero() {
			t.Errorf("the entry of %s lacks something: %+v", image.Reference, image)
		}
		for _, f := range image.Files {
			locked[tools.CacheFile(opts.Dir, image.Manifest, f.Name)] = image.Reference + "@" + image.Manifest.String()
		}
	}
	got := map[string]string{paths.Runc.Path: paths.Runc.Source}
	for _, tool := range paths.QEMU {
		got[tool.Path] = tool.Source
	}
	if diff := cmp.Diff(locked, got); diff != "" {
		t.Errorf("the tools differ from the lock file (-locked +got):\n%s", diff)
	}
	for path := range got {
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o755 {
			t.Errorf("%s has the mode %v (%v)", path, info.Mode(), err)
		}
	}
	if diff := cmp.Diff([]string{filepath.Dir(paths.QEMU["aarch64"].Path)}, paths.Dirs()); diff != "" {
		t.Errorf("the folders of QEMU differ (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"flock", "sha256", "tools.lock.json"}, names); diff != "" {
		t.Errorf("the cache has other files (-want +got):\n%s", diff)
	}
}

// Only the top layers are downloaded, as far as the tool is in them.
func TestFindDownloadsLittle(t *testing.T) {
	b := newBed(t, oci())
	mustFind(t, b.opts, "runc")
	want := strings.Join([]string{
		"HEAD moby/buildkit/manifests/latest", "GET moby/buildkit/manifests/DIGEST",
		"GET moby/buildkit/manifests/DIGEST", "GET moby/buildkit/blobs/DIGEST",
	}, "\n")
	if diff := cmp.Diff(want, asked(b.proxy)); diff != "" {
		t.Errorf("the requests differ (-want +got):\n%s", diff)
	}
}

// Other layouts that are taken, too.
func TestFindLayouts(t *testing.T) {
	layouts := map[string]func(*testing.T, *store) ocispec.Descriptor{
		"no index": func(t *testing.T, s *store) ocispec.Descriptor {
			return s.image(t, host(), s.layer(t, file{name: "usr/bin/qemu-arm", content: qemu(t, "arm", "1.0")}))
		},
		"Debian's names": func(t *testing.T, s *store) ocispec.Descriptor {
			return s.index(t, s.image(t, host(), s.layer(t, file{name: "usr/bin/qemu-arm-static", content: qemu(t, "arm", "1.0")})))
		},
		"symbolic link": func(t *testing.T, s *store) ocispec.Descriptor {
			return s.index(t, s.image(t, host(),
				s.layer(t, file{name: "opt/qemu/qemu-arm", content: qemu(t, "arm", "1.0")}),
				s.layer(t, file{name: "usr/bin/qemu-arm", link: "/opt/qemu/qemu-arm"}),
			))
		},
		"whiteout and link": func(t *testing.T, s *store) ocispec.Descriptor {
			return s.index(t, s.image(t, host(),
				s.layer(t, file{name: "usr/bin/qemu-arm", content: qemu(t, "arm", "0.9")}),
				s.layer(t, file{name: "bin/qemu-arm-static", content: qemu(t, "arm", "1.0")}, file{name: "usr/.wh.bin"}),
				s.layer(t, file{name: "usr/bin", link: "../bin"}),
			))
		},
	}
	for name, layout := range layouts {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, oci())
			b.store.push(t, b.opts.Images.QEMU, layout(t, b.store))
			paths, got := mustFind(t, b.opts, "arm")
			if got["arm"] != "qemu-arm version 1.0" || filepath.Base(paths.QEMU["arm"].Path) != "qemu-arm" {
				t.Errorf("got %q from %s", got["arm"], paths.QEMU["arm"].Path)
			}
		})
	}
}

// A reference with a digest needs no tag.
func TestFindByDigest(t *testing.T) {
	b := newBed(t, oci())
	tag := b.opts.Images.QEMU
	b.opts.Images.QEMU = tag + "@" + b.qemu.Digest.String()
	b.store.push(t, tag, b.store.binfmt(t, "2.0", "arm"))
	if _, got := mustFind(t, b.opts, "arm"); got["arm"] != "qemu-arm version 1.0" {
		t.Errorf("got %q, want the version of the digest", got["arm"])
	}
}

func TestFindNothing(t *testing.T) {
	paths, err := tools.Find(t.Context(), tools.Options{}, tools.Needs{})
	if err != nil || paths.Runc != (tools.Tool{}) || len(paths.QEMU) > 0 || len(paths.Dirs()) > 0 {
		t.Errorf("got %v and the error %v for no needs", paths, err)
	}
}

func TestFindUnknownArchitecture(t *testing.T) {
	_, err := tools.Find(t.Context(), tools.Options{}, needs("arm64"))
	if err == nil || !strings.Contains(err.Error(), "aarch64") {
		t.Errorf("got the error %v, want one with QEMU's spelling", err)
	}
}

func TestFindTwice(t *testing.T) {
	b := newBed(t, oci())
	if paths, _ := mustFind(t, b.opts, "arm", "arm"); len(paths.QEMU) != 1 {
		t.Errorf("got %v", paths.QEMU)
	}
}

// What the images have is refused for a reason that the error tells.
func TestFindRefuses(t *testing.T) {
	foreign := program(t, "qemu-arm version 1.0\n", elfOptions{machine: 0x16}) // s390x, with the wrong byte order
	tests := []struct {
		name  string
		image func(*testing.T, *store) ocispec.Descriptor
		needs string
		is    error
		want  string
	}{
		{
			"no such platform", func(t *testing.T, s *store) ocispec.Descriptor {
				return s.index(t, s.image(t, platform(t, "linux/mips64le")), s.image(t, platform(t, "windows/amd64")), s.image(t, platform(t, "linux/arm/v6")))
			}, "arm", tools.ErrPlatform, "it has linux/mips64le, windows/amd64, linux/arm/v6; run",
		},
		{
			"no platform at all", func(t *testing.T, s *store) ocispec.Descriptor { return s.index(t, s.image(t, otherThan(t, host()))) },
			"arm", tools.ErrPlatform, "it has linux/",
		},
		{
			"no index, other platform", func(t *testing.T, s *store) ocispec.Descriptor { return s.image(t, platform(t, "linux/mips64le")) },
			"arm", tools.ErrPlatform, "it is for linux/mips64le",
		},
		{
			"no such file", func(t *testing.T, s *store) ocispec.Descriptor {
				return s.image(t, host(), s.layer(t, file{name: "usr/bin/qemu-arm", content: qemu(t, "arm", "1.0")}))
			}, "arm riscv64 s390x", tools.ErrNotInImage,
			"has no /usr/bin/qemu-riscv64 or /usr/bin/qemu-riscv64-static, no /usr/bin/qemu-s390x or",
		},
		{
			"removed", func(t *testing.T, s *store) ocispec.Descriptor {
				return s.image(t, host(), s.layer(t, file{name: "usr/bin/qemu-arm", content: qemu(t, "arm", "1.0")}), s.layer(t, file{name: "usr/bin/.wh.qemu-arm"}))
			}, "arm", tools.ErrNotInImage, "--tools-image HOST/NAME:TAG",
		},
		{"for another machine", one("usr/bin/qemu-arm", foreign), "arm", tools.ErrUnusable, "it is ET_EXEC for EM_S390"},
		{"an object file", one("usr/bin/qemu-arm", program(t, "x", elfOptions{object: true})), "arm", tools.ErrUnusable, "ET_REL"},
		{"a script", one("usr/bin/qemu-arm", []byte("#!/bin/sh\necho qemu-arm version 1.0\n")), "arm", tools.ErrUnusable, "not an ELF program"},
		{"empty", one("usr/bin/qemu-arm", nil), "arm", tools.ErrUnusable, "not an ELF program"},
		{
			"dynamically linked QEMU", one("usr/bin/qemu-arm", program(t, "x", elfOptions{interpreter: "/lib64/ld-linux-x86-64.so.2"})),
			"arm", tools.ErrUnusable, "inside the container",
		},
		{
			"runc without its linker", one("usr/bin/buildkit-runc", program(t, "x", elfOptions{interpreter: "/lib/ld-musl-none.so.1"})),
			"runc", tools.ErrUnusable, "this machine lacks its /lib/ld-musl-none.so.1",
		},
		{"QEMU for something else", one("usr/bin/qemu-arm", qemu(t, "armeb", "1.0")), "arm", tools.ErrUnusable, "it emulates armeb"},
		{"no QEMU", one("usr/bin/qemu-arm", runc(t, "1.0")), "arm", tools.ErrUnusable, "not how QEMU answers"},
		{"runc without seccomp", one("usr/bin/runc", program(t, "runc version 1\n", elfOptions{})), "runc", tools.ErrUnusable, "without libseccomp"},
		{"crun", one("usr/sbin/runc", program(t, "crun version 1\n", elfOptions{})), "runc", tools.ErrUnusable, "is crun"},
		{
			"encrypted layer", func(t *testing.T, s *store) ocispec.Descriptor {
				return s.image(t, host(), s.add(ocispec.MediaTypeImageLayerGzip+"+encrypted", []byte("secret")))
			}, "arm", nil, "can't be read",
		},
		{
			"an artifact", func(t *testing.T, s *store) ocispec.Descriptor {
				return s.addJSON(t, ocispec.MediaTypeImageManifest, map[string]any{
					"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "layers": []any{},
					"config": s.add("application/vnd.example.chart+json", []byte("{}")),
				})
			}, "arm", nil, "it is not an image",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, oci())
			ref := b.proxy.Host() + "/test/image:1"
			b.store.push(t, ref, test.image(t, b.store))
			b.opts.Images = tools.Images{QEMU: ref, Runc: ref}
			_, err := tools.Find(t.Context(), b.opts, needs(strings.Fields(test.needs)...))
			checkError(t, err, test.is, test.want)
			checkNothingCached(t, b.opts)
		})
	}
}

// one makes an image of one file.
func one(name string, content []byte) func(*testing.T, *store) ocispec.Descriptor {
	return func(t *testing.T, s *store) ocispec.Descriptor {
		return s.image(t, host(), s.layer(t, file{name: name, content: content}))
	}
}

func checkError(t *testing.T, err, is error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("there is no error, want one with %q", want)
	}
	if is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), want) {
		t.Errorf("got the error %v, want one that is %q and has %q", err, is, want)
	}
	var described *tools.Error
	if !errors.As(err, &described) || described.Hint == "" {
		t.Errorf("the error %v says nothing to do", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines:\n%v", err)
	}
}

// checkNothingCached checks that no tool, and no part of one, was left.
func checkNothingCached(t *testing.T, opts tools.Options) {
	t.Helper()
	l, err := tools.ReadLock(opts.Dir)
	if err != nil || len(l.Images) > 0 {
		t.Errorf("the lock file has %v (%v)", l.Images, err)
	}
	err = filepath.WalkDir(opts.Dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() != "flock" && entry.Name() != tools.LockFile {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// One image fails, the other one's tools are kept.
func TestFindKeepsWhatItGot(t *testing.T) {
	b := newBed(t, oci())
	good := b.opts.Images.Runc
	b.opts.Images.Runc = b.proxy.Host() + "/moby/nothing:1"
	_, err := tools.Find(t.Context(), b.opts, needs("arm", "runc"))
	checkError(t, err, nil, "getting runc from "+b.opts.Images.Runc)
	b.opts.Images.Runc = good
	b.proxy.Reset()
	mustFind(t, b.opts, "arm", "runc")
	if n := b.proxy.Count("", "binfmt"); n > 0 {
		t.Errorf("QEMU's image was asked for again:\n%s", asked(b.proxy))
	}
}

func TestFindStops(t *testing.T) {
	b := newBed(t, oci())
	enough := errors.New("the user had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	b.proxy.Add(registrytest.Rule{Method: "GET", Path: registrytest.Blobs, Fault: func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel(enough)
		<-r.Context().Done()
	}})
	if _, err := tools.Find(ctx, b.opts, needs("arm")); !errors.Is(err, enough) {
		t.Errorf("got the error %v, want the context's cause", err)
	}
	checkNothingCached(t, b.opts)
}
