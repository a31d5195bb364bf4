package verify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	img := spec{platform: "linux/arm64", config: run("/app"), layers: []layer{
		{entries: []entry{exe("app", amd64()), exe("srv/a/tool", amd64()), exe("srv/b", arm64())}},
	}}
	for name, test := range map[string]struct {
		opts verify.Options
		want []string
	}{
		"all":        {verify.Options{}, []string{"error machine /app", "note machine /srv/a/tool"}},
		"entrypoint": {verify.Options{Mode: verify.Entrypoint}, []string{"error machine /app"}},
		"off":        {verify.Options{Mode: verify.Off}, []string{}},
		"strict":     {verify.Options{Mode: verify.Entrypoint, Strict: []string{"/srv/**"}}, []string{"error machine /app", "error machine /srv/a/tool"}},
		"ignore":     {verify.Options{Ignore: []string{"app", "srv/*/tool"}}, []string{}},
		"ignore wins over strict": {
			verify.Options{Ignore: []string{"tool"}, Strict: []string{"srv/**"}}, []string{"error machine /app"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, lines(verifyImage(t, img, test.opts))); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []verify.Options{{Mode: "some"}, {Ignore: []string{"a["}}, {Strict: []string{"a//b"}}, {Strict: []string{""}}} {
		if _, err := verify.Image(t.Context(), newStore(), ocispec.Descriptor{}, bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestGlobs(t *testing.T) {
	t.Parallel()
	for pattern, paths := range map[string]string{ // those with ! do not match
		"opt/**":        "opt/a opt/a/b !usr/opt/a !opt2",
		"**/x/**":       "x/a a/x/b a/b/x/c/d !x2/a",
		"*.bin":         "a.bin a/b/c.bin !a.bin2 !a.bin/x",
		"/opt/a":        "opt/a !opt/a/b",
		"a/*/c":         "a/b/c !a/b/d/c !a/c",
		"**/a/**/b/*.c": "a/b/x.c q/a/1/2/b/x.c !a/b/c/x.c",
	} {
		for path := range strings.FieldsSeq(paths) {
			path, not := strings.CutPrefix(path, "!")
			img := spec{platform: "linux/arm64", layers: []layer{{entries: []entry{exe(path, amd64())}}}}
			report := verifyImage(t, img, verify.Options{Ignore: []string{pattern}})
			if silent := len(report.Findings) == 0; silent == not {
				t.Errorf("%s matches %s: %t", pattern, path, silent)
			}
		}
	}
}

func TestLeaks(t *testing.T) {
	t.Parallel()
	img := spec{platform: "linux/arm64", layers: []layer{
		{by: "FROM", entries: []entry{exe("usr/x86_64-linux-gnu/libc.so", amd64())}},
		{by: "RUN go build # buildkit", entries: []entry{exe("out/arm", arm64()), exe("out/compile", amd64()), exe("go/pkg/mod/x/testdata/x", amd64())}},
		{by: "RUN rm", entries: []entry{{name: "out/.wh.compile"}}},
	}}
	opts := verify.Options{
		Mode: verify.Entrypoint, BuildPlatform: platformOf("linux/amd64"),
		Assisted: func(platform ocispec.Platform, l verify.Layer) bool {
			return platform.Architecture == "arm64" && l.Index == 1 && strings.HasPrefix(l.CreatedBy, "RUN go build")
		},
	}
	report := verifyImage(t, img, opts)
	if diff := cmp.Diff([]string{"error assist-leak /out/compile"}, lines(report)); diff != "" {
		t.Error(diff)
	}
	if f := report.Findings[0]; f.Layer != 2 || f.Digest == "" {
		t.Errorf("%+v", f)
	}
	opts.BuildPlatform = platformOf("linux/arm64")
	if report := verifyImage(t, img, opts); report.Failed() {
		t.Errorf("%q", lines(report))
	}
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config, claims string
		want           []string
	}{
		"equal":            {"linux/arm64/v8", "linux/arm64", []string{}},
		"another machine":  {"linux/amd64", "linux/arm64", []string{"error config-platform "}},
		"another system":   {"windows/arm64", "linux/arm64", []string{"error config-platform "}},
		"another variant":  {"linux/arm/v6", "linux/arm/v7", []string{"warning config-platform "}},
		"none":             {"/", "linux/arm64", []string{"error config-platform "}},
		"no architecture":  {"linux/", "linux/arm64", []string{"error config-platform "}},
		"no rules for it":  {"linux/vax", "linux/vax", []string{"note unverified "}},
		"Windows":          {"windows/amd64", "windows/amd64", []string{"note unverified "}},
		"variant left out": {"linux/arm", "linux/arm/v6", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := verifyImage(t, spec{platform: test.config, claims: test.claims, layers: []layer{{entries: []entry{text("a", "")}}}}, verify.Options{})
			if diff := cmp.Diff(test.want, lines(report)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func (s *store) index(t testing.TB, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	list := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests}
	list.SchemaVersion = 2
	return s.putJSON(t, ocispec.MediaTypeImageIndex, list)
}

func TestIndex(t *testing.T) {
	t.Parallel()
	s := newStore()
	good := s.image(t, spec{platform: "linux/amd64", config: run("/app"), layers: []layer{{entries: []entry{exe("app", amd64())}}}})
	bad := s.image(t, spec{platform: "linux/arm64", config: run("/app"), layers: []layer{{entries: []entry{exe("app", amd64())}}}})
	attestation := s.put(ocispec.MediaTypeImageManifest, []byte("{}"))
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": good.Digest.String()}
	root := s.index(t, good, bad, attestation)
	reports, err := verify.Index(t.Context(), s, root, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := verify.Text(&out, reports...); err != nil {
		t.Fatal(err)
	}
	want := `linux/amd64: 1 program or library in 1 file and 1 layer, all for it
linux/arm64: 1 program or library in 1 file and 1 layer: 1 error
  error: /app (layer 1) is for linux/amd64, but the image is for linux/arm64
    started by: ENTRYPOINT
    fix: copy it from a stage for linux/arm64, or pass --verify-ignore 'app' if it is meant
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if n := s.opened[attestation.Digest]; n != 0 {
		t.Errorf("the attestation was read %d times", n)
	}
	// One manifest is verified the same way; its platform is then its config's.
	bad.Platform = nil
	reports, err = verify.Index(t.Context(), s, bad, verify.Options{})
	if err != nil || len(reports) != 1 || reports[0].Platform != "linux/arm64" || !reports[0].Failed() {
		t.Errorf("%+v, %v", reports, err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := newStore()
	good := s.image(t, spec{platform: "linux/amd64", layers: []layer{{entries: []entry{exe("app", amd64())}}}})
	missing := s.image(t, spec{platform: "linux/amd64", layers: []layer{{entries: []entry{exe("gone", amd64())}}}})
	for d, body := range s.blobs {
		if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) && d != layersOf(t, s, good)[0].Digest {
			delete(s.blobs, d)
		}
	}
	swapped := good
	swapped.Digest = digest.FromString("x")
	s.blobs[swapped.Digest] = s.blobs[good.Digest]
	noLayers := s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: s.putJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{RootFS: ocispec.RootFS{DiffIDs: []digest.Digest{"sha256:x"}}})})
	odd := s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Config: s.putJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{Platform: platformOf("linux/amd64"), RootFS: ocispec.RootFS{DiffIDs: []digest.Digest{digest.FromString("x")}}}),
		Layers: []ocispec.Descriptor{s.put("application/vnd.oci.image.layer.v1.tar+encrypted", []byte("x"))},
	})
	for name, test := range map[string]struct {
		root ocispec.Descriptor
		want error
		text string
	}{
		"a blob is missing":          {missing, os.ErrNotExist, "linux/amd64, layer 1"},
		"a manifest is another":      {swapped, verify.ErrDigest, "build or pull the image again"},
		"config with too many":       {noLayers, verify.ErrManifest, "0 layers, the config 1"},
		"an encrypted layer":         {odd, verify.ErrFormat, "+encrypted"},
		"no JSON":                    {s.put(ocispec.MediaTypeImageManifest, []byte("x")), verify.ErrManifest, "reading the manifest"},
		"an index with itself":       {s.index(t, s.index(t, good)), verify.ErrManifest, "reading an image index"},
		"an index that is none":      {s.put(ocispec.MediaTypeImageIndex, []byte("{}")), verify.ErrManifest, "image index"},
		"a manifest without end":     {ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: good.Digest, Size: 5 << 20}, verify.ErrLimit, "--verify=off"},
		"a manifest without digest":  {ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest}, verify.ErrManifest, ""},
		"an index without its bytes": {ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString("y")}, os.ErrNotExist, "reading the index"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify.Index(t.Context(), s, test.root, verify.Options{})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, want %v with %q", err, test.want, test.text)
			}
			var placed *verify.ImageError
			if !errors.As(err, &placed) {
				t.Errorf("%T is no ImageError", err)
			}
		})
	}
}

// TestArtifact is an image manifest that holds no image.
func TestArtifact(t *testing.T) {
	t.Parallel()
	s := newStore()
	desc := s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{ArtifactType: "application/x", Config: s.put(ocispec.MediaTypeEmptyJSON, []byte("{}"))})
	report, err := verify.Image(t.Context(), s, desc, verify.Options{})
	if err != nil || !slices.Equal(lines(report), []string{"note unverified "}) {
		t.Errorf("%v, %v", report, err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := newStore()
	desc := s.image(t, spec{platform: "linux/amd64", layers: []layer{{entries: []entry{exe("app", amd64())}}, {entries: []entry{exe("app", amd64())}}}})
	why := errors.New("somebody pressed Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := verify.Index(ctx, s, desc, verify.Options{}); !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
	// In the middle of a layer.
	ctx, cancel = context.WithCancelCause(t.Context())
	if _, err := verify.Image(ctx, cancelling{s, func() { cancel(why) }}, desc, verify.Options{}); !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
}

// cancelling gives up when a layer is read.
type cancelling struct {
	*store
	cancel func()
}

func (c cancelling) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if strings.Contains(desc.MediaType, "layer") {
		c.cancel()
	}
	return c.store.Open(ctx, desc)
}

func layersOf(t testing.TB, s *store, desc ocispec.Descriptor) []ocispec.Descriptor {
	t.Helper()
	var m ocispec.Manifest
	decode(t, s.blobs[desc.Digest], &m)
	return m.Layers
}

func TestCache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStore()
	desc := s.image(t, spec{platform: "linux/arm64", config: run("/e.sh"), layers: []layer{
		{entries: append(base(), exe("srv/app", amd64()))},
		{entries: []entry{sh("e.sh", "#!/bin/sh\nexec /srv/app\n"), {name: "bin/.wh.nothing"}, exe("a.jar", zipOf(t, exe("x.so", amd64())))}},
	}})
	blob := layersOf(t, s, desc)[0].Digest
	verifyCached := func(wantCached, wantOpened int) {
		t.Helper()
		report, err := verify.Image(t.Context(), s, desc, verify.Options{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"error machine /srv/app", "warning archive /a.jar!x.so"}; !slices.Equal(lines(report), want) {
			t.Errorf("%q, want %q", lines(report), want)
		}
		if report.Cached != wantCached || s.opened[blob] != wantOpened {
			t.Errorf("%d layers cached, %d times read; want %d, %d", report.Cached, s.opened[blob], wantCached, wantOpened)
		}
	}
	verifyCached(0, 1)
	verifyCached(2, 1)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		func([]byte) []byte { return nil },
	} {
		for _, name := range files {
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, damage(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		verifyCached(0, s.opened[blob]+1)
		verifyCached(2, s.opened[blob])
	}
	// A cache that cannot be written does no harm.
	dir = filepath.Join(files[0], "no directory")
	verifyCached(0, s.opened[blob]+1)
}

func TestOpenArchive(t *testing.T) {
	t.Parallel()
	s := newStore()
	desc := s.image(t, spec{platform: "linux/arm64", config: run("/app"), layers: []layer{{entries: []entry{exe("app", amd64())}}}})
	entries := []entry{text("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)}
	for d, body := range s.blobs {
		entries = append(entries, text("blobs/sha256/"+d.Encoded(), string(body)))
	}
	list := ocispec.Index{Manifests: []ocispec.Descriptor{desc}}
	entries = append(entries, text("index.json", encode(t, list)))
	name := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(name, tarOf(t, entries...), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := verify.OpenArchive(name)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	reports, err := verify.Images(t.Context(), a, a.Images, verify.Options{})
	if err != nil || len(reports) != 1 || !reports[0].Failed() {
		t.Errorf("%v, %v", reports, err)
	}
	for name, body := range map[string][]byte{"empty": tarOf(t), "no tar": []byte(strings.Repeat("x", 600)), "no JSON": tarOf(t, text("index.json", "x"))} {
		file := filepath.Join(t.TempDir(), "bad.tar")
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := verify.OpenArchive(file); !errors.Is(err, verify.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCachePrune(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 40 {
		verify.PutInCache(dir, 500, digest.FromString(strings.Repeat("x", i)))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
	}
	if size > 500 || len(entries) == 0 {
		t.Errorf("%d files of %d bytes", len(entries), size)
	}
}

func TestDefaultCacheDir(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/caches")
	if dir, err := verify.DefaultCacheDir(); err != nil || dir != "/caches/mabuild/verify" {
		t.Errorf("%q, %v", dir, err)
	}
	t.Setenv("XDG_CACHE_HOME", "relative")
	t.Setenv("HOME", "/home/me")
	if dir, err := verify.DefaultCacheDir(); err != nil || dir != "/home/me/.cache/mabuild/verify" {
		t.Errorf("%q, %v", dir, err)
	}
}
