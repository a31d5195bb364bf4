package engine_test

import (
	"testing"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation"
)

func TestChooseWay(t *testing.T) {
	arm64, s390x := platforms.MustParse("linux/arm64"), platforms.MustParse("linux/s390x")
	handlerOf := func(p ocispec.Platform) emulation.Handler {
		arch, err := emulation.Lookup(p)
		if err != nil {
			t.Fatal(err)
		}
		return arch.Handler("/usr/bin/qemu")
	}
	onlyARM := func(arch emulation.Arch) bool { return arch.Platform.Architecture == "arm64" }
	none := func(emulation.Arch) bool { return false }
	tests := []struct {
		name    string
		needed  []ocispec.Platform
		private bool
		host    []emulation.Handler
		qemu    func(emulation.Arch) bool
		want    engine.Way
	}{
		{"nothing needed", nil, true, nil, none, engine.Private},
		{"QEMU here", []ocispec.Platform{arm64}, true, nil, onlyARM, engine.Private},
		{"QEMU here and on the host", []ocispec.Platform{arm64}, true, []emulation.Handler{handlerOf(arm64)}, onlyARM, engine.Private},
		{"one of two on the host alone", []ocispec.Platform{arm64, s390x}, true, []emulation.Handler{handlerOf(arm64), handlerOf(s390x)}, onlyARM, engine.Host},
		{"nowhere", []ocispec.Platform{s390x}, true, []emulation.Handler{handlerOf(arm64)}, onlyARM, engine.Private},
		{"old kernel", []ocispec.Platform{arm64}, false, nil, onlyARM, engine.Host},
		{"a platform that QEMU does not know", []ocispec.Platform{platforms.MustParse("linux/sparc64")}, true, nil, onlyARM, engine.Private},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := engine.ChooseWay(test.needed, test.private, test.host, test.qemu); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if got := engine.Off.Choose([]ocispec.Platform{arm64}); got != engine.Off {
		t.Errorf("off became %s", got)
	}
}

func TestParseWay(t *testing.T) {
	for text, want := range map[string]engine.Way{"": engine.Auto, "auto": engine.Auto, "private": engine.Private, "host": engine.Host, "off": engine.Off} {
		if got, err := engine.ParseWay(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := engine.ParseWay("on"); err == nil {
		t.Error("a way that does not exist was accepted")
	}
}

func TestDescribe(t *testing.T) {
	e := engine.Emulation{Way: engine.Private, Handlers: []engine.Handler{
		{Arch: "aarch64", Version: "7.2.22"}, {Arch: "s390x", Version: "7.2.22"}, {Arch: "riscv64", Version: "9.1"},
	}}
	needed := []ocispec.Platform{platforms.MustParse("linux/arm64"), platforms.MustParse("linux/riscv64"), platforms.MustParse("linux/s390x")}
	want := "QEMU 7.2.22 for linux/arm64, linux/s390x; QEMU 9.1 for linux/riscv64 (private handlers)"
	if got := e.Describe(needed); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := e.Describe(nil); got != "" {
		t.Errorf("nothing emulated is described as %q", got)
	}
}
