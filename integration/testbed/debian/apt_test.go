package debian_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/testbed/debian"
)

// makeDeb builds a package that holds the file usr/share/hello.
func makeDeb(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is missing: run apt-get install dpkg")
	}
	root := t.TempDir()
	for path, text := range map[string]string{
		"DEBIAN/control":  "Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: a test\n",
		"usr/share/hello": "hello, world\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(t.TempDir(), "hello_1_all.deb")
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "--build", root, deb).CombinedOutput(); err != nil {
		t.Fatalf("building a package: %v\n%s", err, out)
	}
	return deb
}

func TestReadDeb(t *testing.T) {
	got := map[string]string{}
	err := debian.ReadDeb(t.Context(), makeDeb(t), func(header *tar.Header, content io.Reader) error {
		text, err := io.ReadAll(content)
		if header.Typeflag == tar.TypeReg {
			got[header.Name] = string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"./usr/share/hello": "hello, world\n"}, got); diff != "" {
		t.Errorf("the package's files differ (-want +got):\n%s", diff)
	}
}

func TestReadDebStops(t *testing.T) {
	enough := errors.New("seen enough")
	err := debian.ReadDeb(t.Context(), makeDeb(t), func(*tar.Header, io.Reader) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("got the error %v, want the visitor's", err)
	}
}

func TestReadDebOfNoPackage(t *testing.T) {
	makeDeb(t) // skips where there is no dpkg-deb
	path := filepath.Join(t.TempDir(), "broken.deb")
	if err := os.WriteFile(path, []byte("no package"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := debian.ReadDeb(t.Context(), path, func(*tar.Header, io.Reader) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "broken.deb") {
		t.Errorf("got the error %v, want one that names the file", err)
	}
}

func TestSettings(t *testing.T) {
	if _, err := exec.LookPath("apt-config"); err != nil {
		t.Skip("apt-config is missing: run apt-get install apt")
	}
	conf := filepath.Join(t.TempDir(), "apt.conf")
	text := "Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::https::Proxy \"http://user:secret@proxy.example\";\n" +
		"Acquire::Retries \"5\";\nAcquire::http::Timeout \"\";\nAPT::Install-Recommends \"false\";\nDir::Etc::Parts \"/dev/null\";\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APT_CONFIG", conf)
	got, err := debian.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Acquire::http::Proxy \"http://proxy.example:3128\";\n", "Acquire::Retries \"5\";\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the settings lack %q:\n%s", want, got)
		}
	}
	for _, secret := range []string{"secret", "Timeout", "Recommends"} {
		if strings.Contains(got, secret) {
			t.Errorf("the settings have %q:\n%s", secret, got)
		}
	}
}
