package testbed_test

import (
	"archive/tar"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/mabuild/mabuild/integration/testbed"
)

func TestJavaVersion(t *testing.T) {
	tests := []struct{ release, want string }{
		{"IMPLEMENTOR=\"Debian\"\nJAVA_RUNTIME_VERSION=\"17.0.19+10-Debian-1deb12u2\"\nJAVA_VERSION=\"17.0.19\"\n", "jdk-17.0.19+10"},
		{"JAVA_RUNTIME_VERSION=\"25.0.3+9-LTS\"\n", "jdk-25.0.3+9"},
		{"JAVA_VERSION=\"17.0.19\"\n", ""},
		{"", ""},
	}
	for _, test := range tests {
		t.Run(test.release, func(t *testing.T) {
			got, err := testbed.JavaVersion([]byte(test.release))
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

// TestJavaEntries moves a JDK, with files where links led out of it.
func TestJavaEntries(t *testing.T) {
	root := t.TempDir()
	const home = "usr/lib/jvm/java"
	for name, text := range map[string]string{
		home + "/bin/java": "java", home + "/release": "release", home + "/jmods/a": "a", home + "/legal/b": "b", "etc/jvm.cfg": "-server KNOWN\n",
	} {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"jvm.cfg": "/etc/jvm.cfg", "cacerts": "/etc/ssl/certs/java/cacerts", "inside": "bin/java"} {
		if err := os.Symlink(to, filepath.Join(root, home, name)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := testbed.JavaEntries(root, home)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, entry := range entries {
		got[entry.Name] = string(rune(entry.Type)) + entry.Link
	}
	const file, link, dir = string(rune(tar.TypeReg)), string(rune(tar.TypeSymlink)), string(rune(tar.TypeDir))
	const jdk = "opt/java/openjdk"
	want := map[string]string{
		"opt": dir, "opt/java": dir, jdk: dir, jdk + "/bin": dir,
		jdk + "/bin/java": file, jdk + "/release": file, jdk + "/jvm.cfg": file, jdk + "/inside": link + "bin/java",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the files differ (-want +got):\n%s", diff)
	}
}

// TestJava makes the image, which is not among those made by default.
func TestJava(t *testing.T) {
	need(t, !testing.Short(), "making the base images takes minutes: run without -short")
	need(t, os.Geteuid() == 0, "making the base images takes root: run as root")
	bases, err := testbed.Bases(t.Context(), testbed.Options{
		Images: []string{testbed.Java}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer bases.Close()
	index, err := remote.Index(tag(t, bases, "library/eclipse-temurin:17"), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, desc := range manifest.Manifests {
		platforms = append(platforms, desc.Platform.String())
		img, err := index.Image(desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if env := strings.Join(config.Config.Env, "\n"); !strings.Contains(env, "JAVA_HOME=/opt/java/openjdk\n") || !strings.Contains(env, "JAVA_VERSION=jdk-17.") {
			t.Errorf("%s: the environment is\n%s", desc.Platform, env)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 2 {
			t.Fatalf("%s: %d layers, %v", desc.Platform, len(layers), err)
		}
		content, err := layers[1].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for archive := tar.NewReader(content); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			names[header.Name] = true
			if header.Typeflag == tar.TypeSymlink && (strings.HasPrefix(header.Linkname, "/") || strings.HasPrefix(header.Linkname, "../../..")) {
				t.Errorf("%s: %s leads out, to %s", desc.Platform, header.Name, header.Linkname)
			}
		}
		if err := content.Close(); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"bin/java", "bin/javac", "bin/jar", "lib/jvm.cfg", "lib/modules", "lib/server/libjvm.so", "conf/security/java.security", "release"} {
			if !names["opt/java/openjdk/"+name] {
				t.Errorf("%s: there is no %s", desc.Platform, name)
			}
		}
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64/v8"}, platforms); diff != "" {
		t.Errorf("the platforms differ (-want +got):\n%s", diff)
	}
}
