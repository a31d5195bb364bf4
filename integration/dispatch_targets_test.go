package integration

import (
	"archive/tar"
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/toolbox"
	"github.com/mabuild/mabuild/integration/testbed"
)

// dispatchTarget is a line of the table in docs/native.md.
type dispatchTarget struct {
	platform, base, suite string
	native, emulated      []string // programs
}

// dispatchTargets have tools by the size of their words. The binutils are native on
// arm64 with the compiler's plugin alone, as in [TestDispatch]. The zstd of
// bookworm compresses otherwise at some levels where there is neither SSE nor Neon.
func dispatchTargets() []dispatchTarget {
	all := strings.Fields("grep find xargs diff cmp tar gzip bzip2 dpkg-deb dpkg-split update-alternatives " +
		"cat cp mv rm mkdir rmdir ln chmod chown chgrp touch cut tr head tail uniq comm join paste tee wc " +
		"basename dirname readlink realpath mktemp install true false echo test [ expr env sleep " +
		"md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum sum cksum")
	wide := strings.Fields("sh ls sed base64 base32 xz")
	binutils := strings.Fields("ar nm")
	never := strings.Fields("awk sort seq")
	return []dispatchTarget{
		{"linux/arm64", testbed.TrixieUnpacked, "trixie-base", append(slices.Concat(all, wide), "zstd"), never},
		{"linux/riscv64", testbed.TrixieUnpacked, "trixie-base", append(slices.Concat(all, wide), "zstd"), slices.Concat(never, binutils)},
		{"linux/arm/v7", testbed.TrixieUnpacked, "trixie-base", all, append(slices.Concat(never, binutils, wide), "zstd")},
		{"linux/s390x", testbed.DebianUnpacked, "bookworm-base", slices.Concat(all, wide), append(slices.Concat(never, binutils), "zstd")},
	}
}

// TestDispatchTargets runs a thousand command lines for each target without and with
// native tools, and compares what they say and what they leave.
func TestDispatchTargets(t *testing.T) {
	t.Parallel()
	lab := newDispatchEngine(t, testbed.DebianUnpacked, testbed.TrixieUnpacked)
	for _, target := range dispatchTargets() {
		lab := &dispatchLab{dir: lab.dir, platform: target.platform, as: lab.as}
		t.Run(target.platform, func(t *testing.T) {
			t.Parallel()
			recipe := toolbox.Recipe{Suite: target.suite, Base: target.base, Platform: target.platform, Host: "amd64"}
			makeToolbox(t, toolbox.Open(lab.toolboxes()), recipe, "--network", "none")
			native := lab.build(t, testdata("commands"), "tools", "--build-arg", "BASE="+target.base)
			plain := lab.build(t, testdata("commands"), "off", "--build-arg", "BASE="+target.base)
			checkNative(t, plain, native, target.native...)
			checkEmulated(t, native, target.emulated...)
			checkCommands(t, plain, native)
			checkSame(t, plain, native, nil)
		})
	}
}

// checkEmulated expects that these programs were executed, and never natively.
func checkEmulated(t *testing.T, built dispatched, want ...string) {
	t.Helper()
	native := built.native()
	for _, name := range want {
		ran := false
		for _, step := range built.steps {
			ran = ran || slices.ContainsFunc(step.Execs, func(exec dispatch.Exec) bool { return filepath.Base(exec.Path) == name })
		}
		if !ran || slices.Contains(native, name) {
			t.Errorf("%s was executed: %t; native: %t", name, ran, slices.Contains(native, name))
		}
	}
}

// checkCommands says which command lines differ: those before one whose result has
// gone into a file are the first to look at.
func checkCommands(t *testing.T, plain, native dispatched) {
	t.Helper()
	for i := range plain.layers {
		if plain.layers[i].Digest == native.layers[i].Digest {
			continue
		}
		with := said(t, native, i)
		for name, text := range said(t, plain, i) {
			a, b := strings.Split(text, "\n$ "), strings.Split(with[name], "\n$ ")
			if len(a) != len(b) {
				t.Errorf("%s has %d command lines without tools and %d with", name, len(a), len(b))
				continue
			}
			for j := range a {
				if a[j] != b[j] {
					t.Errorf("%s without tools:\n$ %s\nwith:\n$ %s", name, a[j], b[j])
				}
			}
		}
	}
}

// said are the outputs and errors of command lines that are in a layer, by file.
func said(t *testing.T, built dispatched, layer int) map[string]string {
	t.Helper()
	found := map[string]string{}
	archive := tar.NewReader(bytes.NewReader(blob(t, built.layout, built.layers[layer].Digest)))
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if name := header.Name; strings.HasPrefix(name, "work/") && (strings.HasSuffix(name, ".out") || strings.HasSuffix(name, ".err")) {
			text, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			found[name] = string(text)
		}
	}
}
