package output_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/planner"
)

func TestSplits(t *testing.T) {
	for _, test := range []struct {
		spec   string
		splits []bool // for one platform, and for two
	}{
		{"type=local,dest=d", []bool{false, true}},
		{"type=tar,dest=d", []bool{false, true}},
		{"type=local,dest=d,platform-split=true", []bool{true, true}},
		{"type=tar,platform-split=0", []bool{false, false}},
	} {
		t.Run(test.spec, func(t *testing.T) {
			spec, err := output.Parse(test.spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := []bool{spec.Splits(1), spec.Splits(2)}; !slices.Equal(got, test.splits) {
				t.Errorf("Splits = %v, want %v", got, test.splits)
			}
		})
	}
	for _, bad := range []string{"type=local,dest=d,platform-split=maybe", "type=oci,dest=d,platform-split=true", "type=image,platform-split=false"} {
		if _, err := output.Parse(bad); err == nil || !strings.Contains(err.Error(), "platform-split") {
			t.Errorf("Parse(%q): %v", bad, err)
		}
	}
}

// TestFilesShared: platforms can write into one directory, but not over each other.
func TestFilesShared(t *testing.T) {
	for _, test := range []struct {
		name   string
		second map[string]string
		bad    string // part of the error
	}{
		{"apart", map[string]string{"bin/arm64": "2", "doc": "2"}, ""},
		{"one file of both", map[string]string{"bin/amd64": "2"}, "bin/amd64"},
		{"a file where a directory is", map[string]string{"bin": "2"}, `"bin"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dest := t.TempDir()
			files := output.Files{Dest: dest}
			if err := files.Prepare(dest, dest); err != nil {
				t.Fatal(err)
			}
			defer files.Close()
			first := map[string]string{"bin/amd64": "1"}
			for i, tree := range []map[string]string{first, test.second} {
				for name, text := range tree {
					path := filepath.Join(files.Stage(i), name)
					if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
						t.Fatal(err)
					}
				}
			}
			_, err := files.Publish(t.Context(), nil)
			if test.bad == "" && err != nil || test.bad != "" && (err == nil || !strings.Contains(err.Error(), test.bad)) {
				t.Fatalf("Publish: %v, want %q", err, test.bad)
			}
			_, missing := os.Stat(filepath.Join(dest, "bin", "amd64"))
			if (missing == nil) != (test.bad == "") {
				t.Errorf("bin/amd64: %v", missing)
			}
		})
	}
}

// TestTarsShared: one archive without directories for the platforms, and with one for
// a single platform.
func TestTarsShared(t *testing.T) {
	no, yes := false, true
	for _, test := range []struct {
		name      string
		split     *bool
		platforms []string
		names     []string // of each platform's files; ARCH is the architecture
		want      []string // nil is an error
	}{
		{"shared", &no, []string{"linux/amd64", "linux/arm64"}, []string{"bin/", "bin/ARCH"}, []string{"bin/", "bin/amd64", "bin/arm64"}},
		{"one file of both", &no, []string{"linux/amd64", "linux/arm64"}, []string{"bin/", "bin/x"}, nil},
		{"alone", &yes, []string{"linux/amd64"}, []string{"x"}, []string{"linux_amd64/", "linux_amd64/x"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			platforms, err := planner.ParsePlatforms(test.platforms...)
			if err != nil {
				t.Fatal(err)
			}
			var joined bytes.Buffer
			tars := output.Tars{Dest: output.Stdout, Stdout: &joined, Platforms: platforms, Split: test.split}
			if err := tars.Prepare(); err != nil {
				t.Fatal(err)
			}
			defer tars.Close()
			for _, platform := range platforms {
				file, err := tars.Part(platform)()
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(writeNames(file, test.names, platform.Architecture), file.Close()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err = tars.Publish(t.Context(), nil); (err == nil) != (test.want != nil) {
				t.Fatalf("Publish: %v, want %q", err, test.want)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(test.want, readNames(t, &joined)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func writeNames(w io.Writer, names []string, arch string) error {
	out := tar.NewWriter(w)
	for _, name := range names {
		header := tar.Header{Name: strings.ReplaceAll(name, "ARCH", arch), Mode: 0o755, Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := out.WriteHeader(&header); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return out.Close()
}

func readNames(t *testing.T, r io.Reader) []string {
	t.Helper()
	var names []string
	for in := tar.NewReader(r); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}
