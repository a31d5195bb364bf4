package integration

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// TestDispatch builds the same without and with native tools in place of emulated
// programs, compares every file, and then does what must not have any.
func TestDispatch(t *testing.T) {
	t.Parallel()
	lab := newDispatchLab(t)
	for name, test := range map[string]func(*testing.T, *dispatchLab){
		"C and C++": dispatchC, "packages": dispatchPackages, "script": dispatchScript, "Go": dispatchGo, "opt-in": dispatchOptIn,
		"switched off": dispatchOff, "stolen tool": dispatchStolen, "half upgraded": dispatchUpgraded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, lab)
		})
	}
}

// testdata is a directory of files that are built.
func testdata(name string) string { return filepath.Join("testdata", "dispatch", name) }

// dispatchC: compilers, assembler, linker and archiver, which a configure script and
// make call, with intermediate code as well.
func dispatchC(t *testing.T, lab *dispatchLab) {
	native := lab.build(t, testdata("c"), "tools")
	plain := lab.build(t, testdata("c"), "off")
	checkNative(t, plain, native, "cc1", "cc1plus", "lto1", "as", "ld", "ar", "ranlib", "nm", "strip", "objcopy", "sh", "sed")
	checkSame(t, plain, native, nil)
}

// dispatchPackages: dpkg unpacks natively, and the installation says when it was.
func dispatchPackages(t *testing.T, lab *dispatchLab) {
	dir := project(t, map[string]string{"Dockerfile": `FROM debian:bookworm-slim AS base
RUN apt-get update

FROM base AS work
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends bc ed less xz-utils bzip2 zstd
RUN tar --sort=name --mtime=@1700000000 -C /etc -cf /etc.tar dpkg apt && xz -9k /etc.tar && bzip2 -k /etc.tar && \
    zstd -q -19 -k /etc.tar && dpkg-deb --build --root-owner-group /usr/share/bc /tmp/x.deb 2> /dev/null; ls / > /listed
`})
	native := lab.build(t, dir, "tools")
	plain := lab.build(t, dir, "off")
	checkNative(t, plain, native, "dpkg-deb", "tar", "xz", "bzip2", "zstd", "ls")
	checkSame(t, plain, native, ofInstallation)
}

// dispatchScript: a shell, the tools for files and text, and checksums. The engine
// finds no difference either.
func dispatchScript(t *testing.T, lab *dispatchLab) {
	native := lab.build(t, testdata("script"), "tools", "--assist-verify")
	for _, step := range native.steps {
		if !step.Verification.Same() {
			t.Errorf("line %d was compared with %+v", step.Line, step.Verification)
		}
	}
	if !strings.Contains(native.stderr, "Verified: 1 step left the same without native tools\n") {
		t.Errorf("the end of the build does not say what was compared:\n%s", native.stderr)
	}
	plain := lab.build(t, testdata("script"), "off")
	checkNative(t, plain, native, "sh", "sed", "find", "tar")
	checkSame(t, plain, native, nil)
	if native.file(t, "work/child.txt") != "0 Nested aarch64\nstatus 3\n" {
		t.Errorf("the script wrote %q", native.file(t, "work/child.txt"))
	}
	// The same as an ordinary user, whose engine has another store.
	user := account(t)
	home := user(exec.Command("true")).Dir
	state := filepath.Join(home, ".local", "state", "mabuild")
	for _, cmd := range []*exec.Cmd{
		user(exec.Command("mkdir", "-p", state)),
		exec.Command("cp", "--archive", lab.toolboxes(), state),
		exec.Command("chown", "--recursive", "--no-dereference", "--reference", home, state),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	rootless := &dispatchLab{dir: home, as: user}
	other := rootless.build(t, copyTree(t, testdata("script")), "tools")
	checkNative(t, plain, other, "sh", "sed", "find", "tar")
	checkSame(t, plain, other, nil)
}

// dispatchGo: the engine's tools for the go command, and the planner's, and both.
func dispatchGo(t *testing.T, lab *dispatchLab) {
	counters := func(name string) bool { return strings.HasPrefix(name, "root/.config/go/telemetry/") }
	native := lab.build(t, testdata("go"), "tools")
	plain := lab.build(t, testdata("go"), "off")
	checkNative(t, plain, native, "compile", "asm", "link")
	checkSame(t, plain, native, counters)
	both := lab.build(t, testdata("go"), "on")
	if want := "native tools of recipe go"; !strings.Contains(both.stderr, want) {
		t.Errorf("%q is not said:\n%s", want, both.stderr)
	}
	checkSame(t, plain, both, counters)
}

// dispatchOff: a Dockerfile can do without.
func dispatchOff(t *testing.T, lab *dispatchLab) {
	dir := project(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim AS work\nENV MABUILD_ASSIST=0\nRUN echo a | sed s/a/b/ > /b\n"})
	built := lab.build(t, dir, "tools")
	if native, off := built.count(dispatch.Native), built.count(dispatch.Environment); native > 0 || off == 0 {
		t.Errorf("%d programs were native, and %d were not because of the environment", native, off)
	}
}

// dispatchStolen: a tool that gets into the image would not run where the image is used.
// The step runs again without tools, and then there is nothing to steal.
func dispatchStolen(t *testing.T, lab *dispatchLab) {
	dir := project(t, map[string]string{"Dockerfile": `FROM debian:bookworm-slim AS work
RUN for tool in /dev/.mabuild/id/*/sed; do if [ -e "$tool" ]; then cp -L "$tool" /stolen; fi; done; echo done > /done
RUN sed s/done/after/ /done > /after
`})
	native := lab.build(t, dir, "tools")
	plain := lab.build(t, dir, "off")
	checkSame(t, plain, native, nil)
	if native.file(t, "stolen") != "" || native.file(t, "after") != "after\n" {
		t.Errorf("the image has %q", native.file(t, "after"))
	}
	if !strings.Contains(native.stderr, "/stolen") {
		t.Errorf("nothing is said of what was stolen:\n%s", native.stderr)
	}
}

// dispatchUpgraded: a program whose library comes from another release than itself is
// left to QEMU.
func dispatchUpgraded(t *testing.T, lab *dispatchLab) {
	dir := project(t, map[string]string{"Dockerfile": `FROM debian:bookworm-slim AS base
RUN export QEMU_CPU=max,pauth-impdef=on && apt-get update && apt-get install -y --no-install-recommends xz-utils && \
    sed -i 's/bookworm/trixie/g' /etc/apt/sources.list.d/debian.sources && apt-get update && \
    cd /tmp && apt-get download liblzma5 && dpkg --install --force-depends liblzma5_*.deb

FROM base AS work
RUN xz -9 < /usr/share/common-licenses/GPL-3 > /gpl.xz && echo same | sed s/same/both/ > /both
`})
	native := lab.build(t, dir, "tools")
	plain := lab.build(t, dir, "off")
	if native.count(dispatch.Closure) == 0 {
		t.Errorf("no program was left to QEMU because of its libraries: %+v", native.steps)
	}
	checkNative(t, plain, native, "sed")
	checkSame(t, plain, native, nil)
}
