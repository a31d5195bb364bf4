package toolbox_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

// id is a build-id that ends in a number.
func id(n int) string { return fmt.Sprintf("%040x", n) }

func write(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// testPackage is a package of a root file system that tests make.
type testPackage struct {
	control string // without architecture and status
	files   map[string]testELF
	links   map[string]string
}

func (p testPackage) name() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(p.control, "Package: "), "\n")
	return name
}

func (p testPackage) write(t testing.TB, dir string) {
	for name, program := range p.files {
		write(t, dir, name, program.bytes(t))
	}
	for name, target := range p.links {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// makeRoot makes a root file system with installed packages.
func makeRoot(t testing.TB, architecture string, packages ...testPackage) string {
	t.Helper()
	dir := t.TempDir()
	var status strings.Builder
	for _, p := range packages {
		fmt.Fprintf(&status, "%s\nStatus: install ok installed\nArchitecture: %s\n\n", p.control, architecture)
		var list strings.Builder
		for name := range p.files {
			list.WriteString("/" + name + "\n")
		}
		for name := range p.links {
			list.WriteString("/" + name + "\n")
		}
		write(t, dir, "var/lib/dpkg/info/"+p.name()+".list", []byte(list.String()))
		p.write(t, dir)
	}
	write(t, dir, "var/lib/dpkg/status", []byte(status.String()))
	return dir
}

// makeDeb makes a package file by dpkg-deb.
func makeDeb(t testing.TB, dir, architecture string, p testPackage) {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is missing: run apt-get install dpkg")
	}
	tree := t.TempDir()
	p.write(t, tree)
	write(t, tree, "DEBIAN/control", []byte(p.control+"\nArchitecture: "+architecture+"\nMaintainer: nobody <n@example.org>\nDescription: test\n"))
	if out, err := exec.Command("dpkg-deb", "--build", "--root-owner-group", tree, filepath.Join(dir, p.name()+".deb")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

const (
	arm, x86 = elf.EM_AARCH64, elf.EM_X86_64
	x86Ld    = "/lib64/ld-linux-x86-64.so.2"
)

func loader() testELF {
	return testELF{machine: x86, texts: []string{"/lib/x86_64-linux-gnu/", "/usr/lib/x86_64-linux-gnu/", "/etc/ld.so.cache", "/etc/ld.so.preload"}}
}

// native are the packages of a native Debian 13 with a compiler that crosses.
func native() []testPackage {
	program := func(needs ...string) testELF {
		return testELF{machine: x86, interp: x86Ld, needs: append(needs, "libc.so.6")}
	}
	compiler := program("libz.so.1")
	compiler.texts = strings.Split(crossDirs, "\x00")
	cross := "usr/libexec/gcc-cross/aarch64-linux-gnu/14/"
	return []testPackage{
		{control: "Package: libc6\nVersion: 2.41-12\nSource: glibc", files: map[string]testELF{"usr/lib64/ld-linux-x86-64.so.2": loader(), "usr/lib/x86_64-linux-gnu/libc.so.6": {machine: x86}}},
		{control: "Package: zlib1g\nVersion: 1:1.3-1\nSource: zlib", files: map[string]testELF{"usr/lib/x86_64-linux-gnu/libz.so.1": {machine: x86, needs: []string{"libc.so.6"}}}},
		{control: "Package: dash\nVersion: 0.5.12-12", files: map[string]testELF{"usr/bin/dash": program()}},
		{control: "Package: tar\nVersion: 1.35-3", files: map[string]testELF{"usr/bin/tar": program()}},
		{control: "Package: coreutils\nVersion: 9.7-3", files: map[string]testELF{"usr/bin/cat": program(), "usr/bin/sort": program()}},
		{control: "Package: cpp-14-aarch64-linux-gnu\nVersion: 14.2.0-19cross1\nSource: gcc-14-cross (9)\nBuilt-Using: gcc-14 (= 14.2.0-19)", files: map[string]testELF{cross + "cc1": compiler}},
		{control: "Package: gcc-14-aarch64-linux-gnu\nVersion: 14.2.0-19cross1\nSource: gcc-14-cross (9)\nBuilt-Using: gcc-14 (= 14.2.0-19)", files: map[string]testELF{cross + "lto1": program(), cross + "lto-wrapper": program(), cross + "liblto_plugin.so": {machine: x86}}},
		{control: "Package: binutils-aarch64-linux-gnu\nVersion: 2.44-3\nSource: binutils", files: map[string]testELF{
			"usr/bin/aarch64-linux-gnu-as": program("libbfd-2.44-arm64.so"), "usr/bin/aarch64-linux-gnu-ld.bfd": program("libbfd-2.44-arm64.so"), "usr/bin/aarch64-linux-gnu-ar": program("libbfd-2.44-arm64.so"),
			"usr/lib/x86_64-linux-gnu/libbfd-2.44-arm64.so": {machine: x86, texts: []string{"/usr/bin/../lib/bfd-plugins"}},
		}},
	}
}

// base are the packages of the same release for the target.
func base() []testPackage {
	program := func(n int) testELF { return testELF{machine: arm, buildID: id(n)} }
	return []testPackage{
		{control: "Package: zlib1g\nVersion: 1:1.3-1+b1\nSource: zlib (1:1.3-1)", files: map[string]testELF{"usr/lib/aarch64-linux-gnu/libz.so.1": program(1)}},
		{control: "Package: dash\nVersion: 0.5.12-12", files: map[string]testELF{"usr/bin/dash": program(2)}, links: map[string]string{"usr/bin/sh": "dash"}},
		{control: "Package: tar\nVersion: 1.34-1", files: map[string]testELF{"usr/bin/tar": program(3)}},
		{control: "Package: coreutils\nVersion: 9.7-3", files: map[string]testELF{"usr/bin/cat": program(4), "usr/bin/sort": program(5)}},
		{control: "Package: gzip\nVersion: 1.13-1", files: map[string]testELF{"usr/bin/gzip": program(6)}},
	}
}

// compilers are the target's packages that are downloaded.
func compilers() []testPackage {
	program := func(n int, texts ...string) testELF {
		return testELF{machine: arm, buildID: id(n), texts: texts}
	}
	own := "usr/libexec/gcc/aarch64-linux-gnu/14/"
	return []testPackage{
		{control: "Package: cpp-14-aarch64-linux-gnu\nVersion: 14.2.0-19\nSource: gcc-14", files: map[string]testELF{own + "cc1": program(10, strings.Split(nativeDirs, "\x00")...)}},
		{control: "Package: gcc-14-aarch64-linux-gnu\nVersion: 14.2.0-19\nSource: gcc-14", files: map[string]testELF{own + "lto1": program(11), own + "lto-wrapper": program(12, "/mkoffload"), own + "collect2": program(13), own + "liblto_plugin.so": program(14)}},
		{control: "Package: binutils-aarch64-linux-gnu\nVersion: 2.44-3\nSource: binutils", files: map[string]testELF{
			"usr/bin/aarch64-linux-gnu-as": program(15), "usr/bin/aarch64-linux-gnu-ld.bfd": program(16), "usr/bin/aarch64-linux-gnu-ar": program(17),
		}},
	}
}

func options(t testing.TB) toolbox.LayoutOptions {
	t.Helper()
	packages := t.TempDir()
	for _, p := range compilers() {
		makeDeb(t, packages, "arm64", p)
	}
	return toolbox.LayoutOptions{
		Out: filepath.Join(t.TempDir(), "box"), Suite: "trixie", Host: "amd64", Target: "arm64",
		Native: makeRoot(t, "amd64", native()...), Base: makeRoot(t, "arm64", base()...), Packages: packages,
	}
}

// tools are the programs of a toolbox by path.
func tools(box *toolbox.Box) map[string]toolbox.Tool {
	byPath := make(map[string]toolbox.Tool)
	for _, tool := range box.Tools {
		byPath[tool.Path] = tool
	}
	return byPath
}

func refusal(t *testing.T, box *toolbox.Box, pkg, name string) toolbox.Refusal {
	t.Helper()
	for _, r := range box.Refused {
		if r.Package == pkg && filepath.Base(r.Path) == filepath.Base(name) {
			return r
		}
	}
	t.Errorf("there is no refusal of %s %s in %v", pkg, name, box.Refused)
	return toolbox.Refusal{}
}

func TestLayout(t *testing.T) {
	o := options(t)
	o.Expected = []string{"dash", "zstd"}
	box, err := toolbox.Layout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got := tools(box)
	var paths []string
	for name := range got {
		paths = append(paths, filepath.Base(name))
	}
	slices.Sort(paths)
	if want := []string{"aarch64-linux-gnu-ar", "aarch64-linux-gnu-as", "aarch64-linux-gnu-ld.bfd", "cat", "cc1", "dash", "lto1"}; !slices.Equal(paths, want) {
		t.Errorf("the tools are %v, want %v", paths, want)
	}
	if names := got["/usr/bin/dash"].Names; !slices.Equal(names, []string{"dash", "sh"}) {
		t.Errorf("dash has the names %v", names)
	}
	if names := got["/usr/bin/aarch64-linux-gnu-ld.bfd"].Names; !slices.Contains(names, "ld") || !slices.Contains(names, "aarch64-linux-gnu-ld") {
		t.Errorf("the linker has the names %v", names)
	}
	cc1 := got["/usr/libexec/gcc/aarch64-linux-gnu/14/cc1"]
	if diff := cmp.Diff([]toolbox.Need{{BuildID: id(1), Path: "/usr/lib/aarch64-linux-gnu/libz.so.1"}}, cc1.Closure); diff != "" {
		t.Error("the closure of cc1:", diff)
	}
	text, err := os.ReadFile(filepath.Join(o.Out, cc1.File))
	if err != nil || bytes.Contains(text, []byte("gcc-cross")) || !bytes.Contains(text, []byte("/dev/.mabuild/t/ld.so\x00")) {
		t.Errorf("cc1 is not bound: %v", err)
	}
	if ar := got["/usr/bin/aarch64-linux-gnu-ar"]; ar.Plugin == "" || len(ar.Closure) != 1 || ar.Closure[0].BuildID != id(14) {
		t.Errorf("ar finds its plugin by %q and %v", ar.Plugin, ar.Closure)
	}
	if bfd, err := os.ReadFile(filepath.Join(o.Out, "t/lib/x/libbfd-2.44-arm64.so")); err != nil || !bytes.Contains(bfd, []byte("\x00/dev/.mabuild/t/bfd\x00")) {
		t.Errorf("libbfd looks for plugins elsewhere: %v", err)
	}
	if r := refusal(t, box, "tar", ""); r.Target != "tar 1.34-1" || r.Native != "tar 1.35-3" {
		t.Errorf("tar of another version was refused by %v", r)
	}
	refusal(t, box, "gzip", "")
	refusal(t, box, "zstd", "")
	refusal(t, box, "gcc-14-aarch64-linux-gnu", "lto-wrapper")
}

// The same packages make the same bytes, wherever and whenever.
func TestLayoutTwice(t *testing.T) {
	o := options(t)
	var texts [2][]byte
	for i := range texts {
		o.Out = filepath.Join(t.TempDir(), "box")
		if _, err := toolbox.Layout(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		texts[i], _ = os.ReadFile(filepath.Join(o.Out, toolbox.BoxName))
		err := filepath.WalkDir(o.Out, func(name string, entry os.DirEntry, err error) error {
			if info, _ := entry.Info(); info.ModTime().Unix() != 0 {
				t.Errorf("%s is of %v", name, info.ModTime())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error(cmp.Diff(string(texts[0]), string(texts[1])))
	}
}

// Tools that must be asked for are in no toolbox that nobody asked for them.
func TestLayoutOptIn(t *testing.T) {
	o := options(t)
	python := func(program testELF) testPackage {
		return testPackage{control: "Package: python3.13-minimal\nVersion: 3.13.5-2\nSource: python3.13", files: map[string]testELF{"usr/bin/python3.13": program}}
	}
	o.Native = makeRoot(t, "amd64", append(native(), python(testELF{machine: x86, interp: x86Ld, needs: []string{"libc.so.6"}}))...)
	o.Base = makeRoot(t, "arm64", append(base(), python(testELF{machine: arm, buildID: id(20)}))...)
	for _, o.OptIn = range []bool{false, true} {
		o.Out = filepath.Join(t.TempDir(), "box")
		box, err := toolbox.Layout(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if tool, ok := tools(box)["/usr/bin/python3.13"]; ok != o.OptIn || box.OptIn != o.OptIn || ok && tool.Class != toolbox.OptIn {
			t.Errorf("asked for is %t, the toolbox says %t, and python is %+v", o.OptIn, box.OptIn, tool)
		}
	}
}

// Debian 12: gcc's cross compiler lacks a fix that the target's has. With the
// compiler goes its LTO plugin, and without that the binutils.
func TestLayoutBookworm(t *testing.T) {
	o := options(t)
	o.Suite = "bookworm"
	packages := native()
	for i, p := range packages {
		packages[i].control = strings.NewReplacer("cpp-14", "cpp-12", "gcc-14", "gcc-12", "14.2.0-19", "12.2.0-14", "(9)", "(15)").Replace(p.control)
	}
	o.Native = makeRoot(t, "amd64", packages...)
	o.Packages = t.TempDir()
	for _, p := range compilers() {
		p.control = strings.NewReplacer("cpp-14-aarch64-linux-gnu", "cpp-12", "gcc-14-aarch64-linux-gnu", "gcc-12", "gcc-14", "gcc-12", "14.2.0-19", "12.2.0-14+deb12u1").Replace(p.control)
		makeDeb(t, o.Packages, "arm64", p)
	}
	box, err := toolbox.Layout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, tool := range tools(box) {
		if !strings.Contains("cat dash", filepath.Base(name)) {
			t.Errorf("%s of %s is native", name, tool.Package)
		}
	}
	if r := refusal(t, box, "cpp-12", ""); r.Target != "gcc-12 12.2.0-14+deb12u1" || r.Native != "gcc-12-cross 12.2.0-14cross1" {
		t.Errorf("the compiler was refused by %v", r)
	}
	for _, name := range []string{"as", "ld.bfd", "ar"} {
		refusal(t, box, "binutils-aarch64-linux-gnu", "/usr/bin/aarch64-linux-gnu-"+name)
	}
}

func TestLayoutUnit(t *testing.T) {
	o := options(t)
	packages := native()
	delete(packages[len(packages)-1].files, "usr/bin/aarch64-linux-gnu-ar")
	o.Native = makeRoot(t, "amd64", packages...)
	box, err := toolbox.Layout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name := range tools(box) {
		if strings.Contains(name, "aarch64-linux-gnu-") {
			t.Errorf("%s is native without ar", name)
		}
	}
	refusal(t, box, "binutils-aarch64-linux-gnu", "/usr/bin/aarch64-linux-gnu-as")
}

// A library that is not in the base is fetched, all of them at once; one that cannot
// be had refuses what needs it, and nothing else.
func TestLayoutFetch(t *testing.T) {
	o := options(t)
	packages := slices.DeleteFunc(base(), func(p testPackage) bool { return p.name() == "zlib1g" })
	o.Base = makeRoot(t, "arm64", packages...)
	var asked [][]string
	o.Fetch = func(_ context.Context, dir string, packages []string) error {
		asked = append(asked, packages)
		makeDeb(t, dir, "arm64", base()[0])
		return nil
	}
	box, err := toolbox.Layout(t.Context(), o)
	if err != nil || len(tools(box)["/usr/libexec/gcc/aarch64-linux-gnu/14/cc1"].Closure) != 1 {
		t.Errorf("with what was fetched: %v", err)
	}
	if diff := cmp.Diff([][]string{{"zlib1g:arm64"}}, asked); diff != "" {
		t.Error(diff)
	}
	o.Out, o.Fetch = filepath.Join(t.TempDir(), "box"), nil
	if box, err = toolbox.Layout(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if r := refusal(t, box, "cpp-14-aarch64-linux-gnu", "cc1"); !strings.Contains(r.Reason, "zlib1g") {
		t.Errorf("cc1 was refused by %v", r)
	}
	if _, ok := tools(box)["/usr/bin/dash"]; !ok {
		t.Error("dash needs no zlib")
	}
}

// What an image brings goes with the image's own libraries, whatever the archive has
// by now; both are side by side, and which packages it is of is known.
func TestLayoutOfImage(t *testing.T) {
	o := options(t)
	archive, err := toolbox.Layout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Out, o.Suite, o.Packages = filepath.Join(t.TempDir(), "box"), "trixie-base", ""
	box, err := toolbox.Layout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tools(box)["/usr/bin/dash"]; !ok || box.Kind != toolbox.Base || box.Slot == archive.Slot {
		t.Errorf("the toolbox %s of kind %s has %v", box.Slot, box.Kind, box.Tools)
	}
	if diff := cmp.Diff(map[string]string{"dash": "0.5.12-12", "coreutils": "9.7-3"}, box.Packages); diff != "" {
		t.Error(diff)
	}
	if _, ok := tools(box)["/usr/libexec/gcc/aarch64-linux-gnu/14/cc1"]; ok {
		t.Error("an image without a compiler has one")
	}
}

func TestLayoutBad(t *testing.T) {
	t.Run("a damaged package", func(t *testing.T) {
		o := options(t)
		write(t, o.Packages, "damaged.deb", []byte("!<arch>\n"))
		box, err := toolbox.Layout(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		refusal(t, box, "damaged.deb", "")
	})
	t.Run("a link out of the base", func(t *testing.T) {
		o := options(t)
		name := filepath.Join(o.Base, "usr/bin/dash")
		outside := filepath.Join(t.TempDir(), "dash")
		if err := errors.Join(os.Rename(name, outside), os.Symlink(outside, name)); err != nil {
			t.Fatal(err)
		}
		box, err := toolbox.Layout(t.Context(), o)
		if _, ok := tools(box)["/usr/bin/dash"]; err != nil || ok {
			t.Errorf("the link was followed, or %v", err)
		}
	})
	for name, change := range map[string]func(*toolbox.LayoutOptions){
		"no twin at all":     func(o *toolbox.LayoutOptions) { o.Native = makeRoot(t, "amd64", native()[:1]...) },
		"no loader":          func(o *toolbox.LayoutOptions) { o.Native = makeRoot(t, "amd64", native()[1:]...) },
		"unknown suite":      func(o *toolbox.LayoutOptions) { o.Suite = "woody" },
		"unknown target":     func(o *toolbox.LayoutOptions) { o.Target = "vax" },
		"the base is a file": func(o *toolbox.LayoutOptions) { o.Base = filepath.Join(o.Base, "usr/bin/dash") },
		"out is not empty":   func(o *toolbox.LayoutOptions) { o.Out = o.Base },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			change(&o)
			if _, err := toolbox.Layout(t.Context(), o); err == nil {
				t.Error("it was made")
			}
		})
	}
}
