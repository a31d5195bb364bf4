package toolbox_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

// limitedBox is a toolbox with a tool for each kind of limits.
func limitedBox(arch string) (*toolbox.Box, []boxFile) {
	box, files := makeBox(id(1), "dash")
	box.Arch = arch
	add := func(n int, pkg, path string) *toolbox.Tool {
		tool := box.Tools[0]
		tool.BuildID, tool.Package, tool.Path, tool.Closure = id(n), pkg, path, nil
		tool.Limits = []string{"no rule\nat all"} // only today's policy counts
		box.Tools = append(box.Tools, tool)
		return &box.Tools[len(box.Tools)-1]
	}
	add(2, "cpp-14-aarch64-linux-gnu", "/usr/libexec/gcc/aarch64-linux-gnu/14/cc1")
	for n, name := range map[int]string{3: "as", 4: "ld.bfd", 5: "ar"} {
		tool := add(n, "binutils-aarch64-linux-gnu", "/usr/bin/aarch64-linux-gnu-"+name)
		tool.Plugin = files[1].name
		if name == "ar" {
			tool.Closure = []toolbox.Need{{BuildID: id(98), Path: "/usr/lib/bfd-plugins/liblto_plugin.so"}}
		}
	}
	add(6, "go", "/usr/local/go/pkg/tool/linux_arm64/compile")
	add(7, "go", "/usr/local/go/pkg/tool/linux_arm64/pack")
	add(8, "python3.13-minimal", "/usr/bin/python3.13")
	add(9, "nodejs", "/usr/bin/node")
	return box, files
}

// limits are the rules that the stub is given for a build-id.
func limits(t *testing.T, view *toolbox.View, buildID string) []string {
	t.Helper()
	name := filepath.Join(view.Dir, "id", buildID, ".args")
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o644 {
		t.Errorf("the mode of %s is %v, %v", name, info.Mode(), err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// The rules of a view are those of today's policy, whatever the toolbox says.
func TestLimits(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	box, files := limitedBox("arm64")
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	v := view(t, store)
	bfd := []string{
		"only /usr/lib/bfd-plugins liblto_plugin.so", "only /usr/lib/aarch64-linux-gnu/bfd-plugins libdep.so",
		"only /usr/lib/x86_64-linux-gnu/bfd-plugins", "plugin " + id(98),
	}
	for buildID, want := range map[string][]string{
		id(1): nil,
		id(2): {
			"files", "refuse --output-pch", "refuse -Winvalid-pch", "refuse -fpch-preprocess", "refuse -fpch-deps", "beside -include .gch",
			"refuse -fmodule", "refuse -fopenmp", "refuse -fopenacc", "refuse -foffload=", "refuse -foffload-abi",
			"refuse -march=native", "refuse -mcpu=native", "refuse -mtune=native",
			"refuse -iprefix", "refuse -iwithprefix", "refuse -isysroot", "unset GCC_EXEC_PREFIX",
			"unset GCC_ROOT", "unset G++_ROOT", "unset BINUTILS_ROOT",
		},
		id(3): {"plugin " + id(98)},
		id(4): {"plugin " + id(98)},
		id(5): bfd,
		id(6): {"set GOARCH"},
		id(7): nil,
	} {
		if diff := cmp.Diff(want, limits(t, v, buildID)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", buildID, diff)
		}
	}
}

// One architecture of Go's can be several of Debian's, and has variables of its own.
func TestLimitsOfArm(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	box, files := limitedBox("arm")
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	v, err := store.View("arm", false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Release() }()
	if diff := cmp.Diff([]string{"set GOARCH", "set GOARM"}, limits(t, v, id(6))); diff != "" {
		t.Error(diff)
	}
}

// Interpreters that are asked for run scripts that are known, and nothing else.
func TestLimitsOfScripts(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	box, files := limitedBox("arm64")
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	v, err := store.View("arm64", true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Release() }()
	for buildID, want := range map[string][]string{
		id(8): {
			"script -m -B -E -I -O -OO -S -b -q -s -u compileall py_compile compileall.py py_compile.py",
			"refuse -j", "refuse -qj", "refuse -fj", "refuse --w",
			"unset PYTHONPATH", "unset PYTHONHOME", "unset PYTHONPLATLIBDIR",
		},
		id(9): {
			"script --max-old-space-size= --max_old_space_size= --no-warnings tsc tsc.js terser",
			"unset NODE_OPTIONS", "unset NODE_V8_COVERAGE", "unset NODE_COMPILE_CACHE",
		},
	} {
		if diff := cmp.Diff(want, limits(t, v, buildID)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", buildID, diff)
		}
		if _, ok := contents(t, view(t, store)).Tool(buildID); ok {
			t.Errorf("%s is native where nobody asked", buildID)
		}
	}
}

// The stub knows all rules of the policy: a tool with another would never be used.
func TestPolicyLimits(t *testing.T) {
	for _, rule := range toolbox.Policy() {
		for _, arch := range []string{"arm64", "arm", "s390x"} {
			if err := toolbox.CheckLimits(rule, arch); err != nil {
				t.Errorf("%s for %s: %v", rule.Names, arch, err)
			}
		}
		if len(rule.Limits) > 0 && rule.Class == toolbox.Never {
			t.Errorf("%s is never native, and has limits", rule.Names)
		}
	}
	changed := toolbox.Policy()
	changed[0].Limits = changed[0].Limits[1:]
	if toolbox.VersionOf(changed) == toolbox.PolicyVersion() {
		t.Error("a policy with other limits has the same version")
	}
}

// A view that was made before there were limits is not used again.
func TestLimitsOfOldView(t *testing.T) {
	dir := t.TempDir()
	store := toolbox.Open(dir)
	box, files := limitedBox("arm64")
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	old := view(t, store)
	if err := os.Remove(filepath.Join(old.Dir, "id", id(6), ".args")); err != nil {
		t.Fatal(err)
	}
	name := old.Dir + ".json"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(toolbox.PolicyVersion()), []byte("0123456789ab"))
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := view(t, store)
	if diff := cmp.Diff([]string{"set GOARCH"}, limits(t, fresh, id(6))); diff != "" || fresh.Dir == old.Dir {
		t.Errorf("%s took the place of %s (-want +got):\n%s", fresh.Dir, old.Dir, diff)
	}
}
