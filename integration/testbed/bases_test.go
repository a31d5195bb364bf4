package testbed_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/mabuild/mabuild/integration/testbed"
)

// need skips a test that this machine can't run, and fails it where all must run.
func need(t *testing.T, met bool, reason string) {
	t.Helper()
	switch {
	case met:
	case os.Getenv("CI") != "":
		t.Fatalf("%s, and in CI this test must run", reason)
	default:
		t.Skip(reason)
	}
}

// TestBases makes all images, which takes minutes unless the cache has them, and
// pulls each platform of each.
func TestBases(t *testing.T) {
	need(t, !testing.Short(), "making the base images takes minutes: run without -short")
	need(t, os.Geteuid() == 0, "making the base images takes root: run as root")
	bases, err := testbed.Bases(t.Context(), testbed.Options{
		Images: []string{testbed.Busybox, testbed.Debian, testbed.Golang, testbed.Trixie, testbed.DebianUnpacked, testbed.TrixieUnpacked},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer bases.Close()
	machines := map[string]elf.Machine{
		"linux/amd64": elf.EM_X86_64, "linux/arm64/v8": elf.EM_AARCH64, "linux/arm/v7": elf.EM_ARM,
		"linux/386": elf.EM_386, "linux/ppc64le": elf.EM_PPC64, "linux/s390x": elf.EM_S390, "linux/riscv64": elf.EM_RISCV,
	}
	for _, test := range []struct {
		reference, program string
		platforms          []string
		env, cmd           []string
	}{
		{
			"library/busybox:latest", "bin/busybox",
			[]string{"linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x"},
			[]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			[]string{"sh"},
		},
		{
			"library/debian:bookworm-slim", "usr/bin/apt-get",
			[]string{"linux/amd64", "linux/arm64/v8"},
			[]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			[]string{"bash"},
		},
		{
			"library/debian:trixie-slim", "usr/bin/apt-get",
			[]string{"linux/amd64", "linux/arm64/v8"},
			[]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			[]string{"bash"},
		},
		{
			"library/debian:bookworm-unpacked", "usr/bin/dpkg-deb",
			[]string{"linux/amd64", "linux/s390x"},
			[]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			[]string{"sh"},
		},
		{
			"library/debian:trixie-unpacked", "usr/bin/dash",
			[]string{"linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/riscv64"},
			[]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			[]string{"sh"},
		},
		{
			"library/golang:1.26", "usr/local/go/bin/go",
			[]string{"linux/amd64", "linux/arm64/v8"},
			[]string{"GOTOOLCHAIN=local", "GOPATH=/go"},
			[]string{"bash"},
		},
	} {
		t.Run(test.reference, func(t *testing.T) {
			// Fast: unpacking a gigabyte under the race detector takes minutes, and the
			// storage took each layer under the digest that it had computed.
			if err := pull(t, bases, test.reference, validate.Fast); err != nil {
				t.Fatal(err)
			}
			images := platformImages(t, bases, test.reference)
			var platforms []string
			for platform, img := range images {
				platforms = append(platforms, platform)
				checkImage(t, img, platform, test.env, test.cmd)
				checkProgram(t, img, test.program, machines[platform])
			}
			if diff := cmp.Diff(slices.Sorted(slices.Values(test.platforms)), slices.Sorted(slices.Values(platforms))); diff != "" {
				t.Errorf("the platforms differ (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("golang shares debian's layer", func(t *testing.T) {
		debian, golang := platformImages(t, bases, "library/debian:bookworm-slim"), platformImages(t, bases, "library/golang:1.26-bookworm")
		for platform, img := range debian {
			if diff := cmp.Diff(layers(t, img)[0], layers(t, golang[platform])[0]); diff != "" {
				t.Errorf("%s (-debian +golang):\n%s", platform, diff)
			}
		}
	})
}

func platformImages(t *testing.T, registry *testbed.Registry, reference string) map[string]v1.Image {
	t.Helper()
	index, err := remote.Index(tag(t, registry, reference), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, desc := range manifest.Manifests {
		img, err := index.Image(desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		images[desc.Platform.String()] = img
	}
	return images
}

func layers(t *testing.T, img v1.Image) []string {
	t.Helper()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var digests []string
	for _, layer := range manifest.Layers {
		digests = append(digests, layer.Digest.String())
	}
	return digests
}

func checkImage(t *testing.T, img v1.Image, platform string, env, cmd []string) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Platform().String(); got != platform {
		t.Errorf("the configuration of %s says %s", platform, got)
	}
	for _, want := range env {
		if !slices.Contains(config.Config.Env, want) {
			t.Errorf("the environment of %s lacks %s: %v", platform, want, config.Config.Env)
		}
	}
	if diff := cmp.Diff(cmd, config.Config.Cmd); diff != "" {
		t.Errorf("the command of %s differs (-want +got):\n%s", platform, diff)
	}
}

// checkProgram looks into the layers for an executable program of the machine.
func checkProgram(t *testing.T, img v1.Image, name string, want elf.Machine) {
	t.Helper()
	parts, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range slices.Backward(parts) {
		header, content, err := find(part, name)
		if err != nil {
			t.Fatal(err)
		}
		if header == nil {
			continue
		}
		program, err := elf.NewFile(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if program.Machine != want || header.Mode&0o111 != 0o111 {
			t.Errorf("%s is a program for %v with the mode %o, want one for %v that runs", name, program.Machine, header.Mode, want)
		}
		return
	}
	t.Errorf("no layer has %s", name)
}

func find(part v1.Layer, name string) (*tar.Header, []byte, error) {
	unpacked, err := part.Uncompressed()
	if err != nil {
		return nil, nil, err
	}
	defer unpacked.Close()
	archive := tar.NewReader(unpacked)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading a layer: %w", err)
		}
		if strings.TrimPrefix(header.Name, "./") == name {
			content, err := io.ReadAll(archive)
			return header, content, err
		}
	}
}
