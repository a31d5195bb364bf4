package output_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/output"
)

// entry is what a tar header has to say.
type entry struct {
	Type       string
	Name, Link string
	Mode       int64
	UID        int
	Time       time.Time
	Xattr      string
	Body       string
}

func entries(t *testing.T, archive io.Reader) []entry {
	t.Helper()
	var list []entry
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, entry{
			string(header.Typeflag), header.Name, header.Linkname, header.Mode, header.Uid, header.ModTime.UTC(),
			header.PAXRecords["SCHILY.xattr.user.x"], string(body),
		})
	}
}

var fine = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

// root is an image's files.
func root(arch string) []*tar.Header {
	return []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "bin/app", Mode: 0o4755, Uid: 7, ModTime: fine, Format: tar.FormatPAX, Size: int64(len(arch))},
		{Typeflag: tar.TypeLink, Name: "bin/hard", Linkname: "bin/app", Mode: 0o755},
		{Typeflag: tar.TypeSymlink, Name: "bin/soft", Linkname: "/bin/app", Mode: 0o777},
		{Typeflag: tar.TypeSymlink, Name: "near", Linkname: "bin/../bin/app", Mode: 0o777},
		{Typeflag: tar.TypeFifo, Name: "./pipe", Mode: 0o600},
		{Typeflag: tar.TypeReg, Name: "attr", Mode: 0o644, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "1"}},
		// As long as a name can be without an extension.
		{Typeflag: tar.TypeReg, Name: strings.Repeat("d", 150) + "/" + strings.Repeat("f", 100), Mode: 0o644, Format: tar.FormatUSTAR},
	}
}

// write fills one platform's part.
func writePart(t *testing.T, tars *output.Tars, platform ocispec.Platform) []byte {
	t.Helper()
	var body bytes.Buffer
	writer := tar.NewWriter(&body)
	for _, header := range root(platform.Architecture) {
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			if _, err := io.WriteString(writer, platform.Architecture); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	part, err := tars.Part(platform)()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(body.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := part.Close(); err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

func prepare(t *testing.T, tars *output.Tars) {
	t.Helper()
	if err := tars.Prepare(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tars.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTarsJoin(t *testing.T) {
	dir := t.TempDir()
	tars := &output.Tars{Dest: filepath.Join(dir, "files.tar"), Platforms: []ocispec.Platform{armv7, amd64}}
	prepare(t, tars)
	writePart(t, tars, amd64)
	writePart(t, tars, armv7)
	if _, err := tars.Publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(tars.Dest)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var want []entry
	for _, platform := range []struct{ dir, arch string }{{"linux_arm_v7", "arm"}, {"linux_amd64", "amd64"}} {
		in := platform.dir + "/"
		epoch := time.Unix(0, 0).UTC()
		want = append(want,
			entry{Type: "5", Name: in, Mode: 0o755, Time: epoch},
			entry{Type: "5", Name: in + "bin/", Mode: 0o755, Time: epoch},
			entry{Type: "0", Name: in + "bin/app", Mode: 0o4755, UID: 7, Time: fine, Body: platform.arch},
			entry{Type: "1", Name: in + "bin/hard", Link: in + "bin/app", Mode: 0o755, Time: epoch},
			entry{Type: "2", Name: in + "bin/soft", Link: "/bin/app", Mode: 0o777, Time: epoch},
			entry{Type: "2", Name: in + "near", Link: "bin/../bin/app", Mode: 0o777, Time: epoch},
			entry{Type: "6", Name: in + "pipe", Mode: 0o600, Time: epoch},
			entry{Type: "0", Name: in + "attr", Mode: 0o644, Time: epoch, Xattr: "1"},
			entry{Type: "0", Name: in + strings.Repeat("d", 150) + "/" + strings.Repeat("f", 100), Mode: 0o644, Time: epoch},
		)
	}
	if diff := cmp.Diff(want, entries(t, file)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if err := tars.Close(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v, error %v", files, err)
	}
}

func TestTarsOfOnePlatform(t *testing.T) {
	var out bytes.Buffer
	tars := &output.Tars{Dest: output.Stdout, Stdout: &out, Platforms: []ocispec.Platform{arm64}}
	prepare(t, tars)
	want := writePart(t, tars, arm64)
	if _, err := tars.Publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, out.Bytes()) {
		t.Error("the archive of one platform was changed")
	}
}

// A build that may go without a platform has the files of the others.
func TestTarsMissing(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "files.tar")
	tars := &output.Tars{Dest: dest, Platforms: []ocispec.Platform{amd64, arm64}}
	prepare(t, tars)
	writePart(t, tars, amd64)
	if _, err := tars.Publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(dest)
	if err != nil || !bytes.Contains(body, []byte("linux_amd64/")) || bytes.Contains(body, []byte("linux_arm64")) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// What a job exported before it failed is in no result, also what comes late.
func TestTarsDiscard(t *testing.T) {
	var out bytes.Buffer
	tars := &output.Tars{Dest: output.Stdout, Stdout: &out, Platforms: []ocispec.Platform{amd64, arm64}}
	prepare(t, tars)
	writePart(t, tars, amd64)
	writePart(t, tars, arm64)
	late := tars.Part(arm64)
	tars.Discard(arm64)
	part, err := late()
	if err != nil {
		t.Fatal(err)
	}
	if err := part.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		out.Reset()
		if _, err := tars.Publish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, directories(t, &out)); diff != "" {
			t.Errorf("directories (-want +got):\n%s", diff)
		}
	}
	check("linux_amd64/")
	writePart(t, tars, arm64)
	check("linux_amd64/", "linux_arm64/")
}

// directories are those of the platforms.
func directories(t *testing.T, archive io.Reader) []string {
	t.Helper()
	var names []string
	for _, e := range entries(t, archive) {
		if e.Type == "5" && strings.HasPrefix(e.Name, "linux_") && strings.Count(e.Name, "/") == 1 {
			names = append(names, e.Name)
		}
	}
	return names
}

// An archive that ends between two files is not all of it.
func TestTarsCut(t *testing.T) {
	whole := archive(t, regular("a", ""), regular("b", ""))
	for name, split := range map[string]bool{"split": true, "shared": false} {
		t.Run(name, func(t *testing.T) {
			tars := &output.Tars{Dest: output.Stdout, Stdout: io.Discard, Platforms: []ocispec.Platform{amd64, arm64}, Split: &split}
			prepare(t, tars)
			part, err := tars.Part(arm64)()
			if err != nil {
				t.Fatal(err)
			}
			_, err = part.Write(whole[:len(whole)-1024])
			if err := errors.Join(err, part.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := tars.Publish(t.Context(), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v, want %v", err, io.ErrUnexpectedEOF)
			}
		})
	}
}

func TestTarsFail(t *testing.T) {
	for name, test := range map[string]struct {
		fill func(t *testing.T, tars *output.Tars)
		want string
	}{
		"no part": {func(_ *testing.T, tars *output.Tars) {
			tars.Platforms = []ocispec.Platform{arm64, {OS: "linux", Architecture: "s390x"}}
		}, "no platform has files"},
		"broken part": {
			func(t *testing.T, tars *output.Tars) {
				part, err := tars.Part(arm64)()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := part.Write(bytes.Repeat([]byte("x"), 2000)); err != nil {
					t.Fatal(err)
				}
				if err := part.Close(); err != nil {
					t.Fatal(err)
				}
			},
			"joining the archive of linux/arm64",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tars := &output.Tars{Dest: filepath.Join(dir, "files.tar"), Platforms: []ocispec.Platform{amd64, arm64}}
			prepare(t, tars)
			writePart(t, tars, amd64)
			test.fill(t, tars)
			if _, err := tars.Publish(t.Context(), nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if err := tars.Close(); err != nil {
				t.Error(err)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
				t.Errorf("files %v, error %v", files, err)
			}
		})
	}
	nowhere := &output.Tars{Dest: filepath.Join(t.TempDir(), "no", "files.tar"), Platforms: []ocispec.Platform{amd64}}
	if err := nowhere.Prepare(); err == nil || !strings.Contains(err.Error(), "creating a directory") {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

// Devices and pipes are written to, not replaced by a file; a directory is neither.
func TestOutputToADevice(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such files")
	}
	to := func(dest string) error {
		tars := &output.Tars{Dest: dest, Platforms: []ocispec.Platform{arm64}}
		prepare(t, tars)
		writePart(t, tars, arm64)
		_, err := tars.Publish(context.Background(), nil)
		return err
	}
	dir := t.TempDir()
	null := filepath.Join(dir, "null")
	if err := os.Symlink(os.DevNull, null); err != nil {
		t.Fatal(err)
	}
	if err := to(null); err != nil {
		t.Errorf("to a device: %v", err)
	}
	if target, err := os.Readlink(null); err != nil || target != os.DevNull {
		t.Errorf("the link to the device is %q, %v", target, err)
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		if err := to("/dev/full"); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("to a full device: %v", err)
		}
	}
	if err := to(dir); err == nil || !strings.Contains(err.Error(), "opening the output") {
		t.Errorf("to a directory: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v, error %v", files, err)
	}
}

func TestPlatformDir(t *testing.T) {
	for want, platform := range map[string]ocispec.Platform{
		"linux_amd64":               amd64,
		"linux_arm_v7":              armv7,
		"windows(10.0.20348)_amd64": {OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348"},
	} {
		if got := output.PlatformDir(platform); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
