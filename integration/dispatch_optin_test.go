package integration

import (
	"path"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// dispatchOptIn: python compiles natively what a package brings and what a step
// wants, to the same bytes, and does everything else under QEMU. With it goes what
// apt unpacks its lists by.
func dispatchOptIn(t *testing.T, lab *dispatchLab) {
	dir := project(t, map[string]string{"Dockerfile": `FROM debian:trixie-slim AS work
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-minimal
RUN cp -r /usr/lib/python3.13/encodings /encodings && rm -r /encodings/__pycache__ && \
    SOURCE_DATE_EPOCH=1 python3 -m compileall -q /encodings
RUN PYTHONPATH=/encodings python3 -m compileall -q -f /usr/lib/python3.13/importlib
RUN python3 -c 'import sys; print(sys.implementation._multiarch)' > /machine
`})
	native := lab.build(t, dir, "all")
	plain := lab.build(t, dir, "off")
	checkNative(t, plain, native, "store", "python3.13", "python3")
	checkSame(t, plain, native, ofInstallation)
	if native.count(dispatch.Arguments) == 0 || native.count(dispatch.Environment) == 0 {
		t.Errorf("python was native for any script, or with modules of others: %+v", native.steps)
	}
	if machine := native.file(t, "machine"); machine != "aarch64-linux-gnu\n" {
		t.Errorf("python says that it is for %q", machine)
	}
}

// ofInstallation reports whether a file says when something was installed.
func ofInstallation(name string) bool {
	switch path.Dir(name) {
	case "var/log", "var/log/apt":
		return strings.HasSuffix(name, ".log")
	}
	return name == "var/cache/ldconfig/aux-cache" || name == "var/cache/apt/pkgcache.bin" || name == "var/cache/apt/srcpkgcache.bin"
}
