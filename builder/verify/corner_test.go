package verify_test

import (
	"debug/elf"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/verify"
)

func arm32(flags uint32, arch byte, interp string) []byte {
	return elfSpec{machine: elf.EM_ARM, class: elf.ELFCLASS32, flags: flags, armArch: arch, interp: interp}.make()
}

func of(m elf.Machine) []byte { return elfSpec{machine: m}.make() }

// TestCornerCases are what real images have that is not what it seems.
func TestCornerCases(t *testing.T) {
	t.Parallel()
	const ldARM = "lib/ld-linux-armhf.so.3"
	class := append([]byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61}, make([]byte, 100)...)
	fat := append([]byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2}, make([]byte, 100)...)
	pe := append([]byte("MZ"), make([]byte, 200)...)
	for name, test := range map[string]struct {
		platform string // default: linux/arm64
		entries  []entry
		want     []string
	}{
		"case 01 test data":            {entries: []entry{exe("usr/lib/go/src/debug/elf/testdata/gcc-amd64-linux-exec", amd64()), exe("usr/lib/x/a.obj", amd64())}},
		"case 02 objects to link":      {entries: []entry{text("usr/local/go/src/runtime/race/race_linux_amd64.syso", string(amd64())), text("usr/lib/crt1.o", string(amd64()))}},
		"case 03 BPF":                  {entries: []entry{text("usr/lib/bpf/prog.bpf", string(of(elf.EM_BPF)))}},
		"case 04 GPU code":             {entries: []entry{text("usr/lib/k.cubin", string(of(elf.EM_CUDA))), text("usr/lib/k.co", string(of(elf.EM_AMDGPU)))}},
		"case 05 firmware":             {entries: []entry{text("lib/firmware/a.elf", string(of(elf.EM_XTENSA))), text("usr/lib/firmware/b.elf", string(amd64())), text("usr/share/qemu/c.elf", string(of(elf.EM_RISCV)))}},
		"case 05 firmware elsewhere":   {entries: []entry{text("usr/lib/fw.elf", string(of(elf.EM_AVR)))}, want: []string{"note machine /usr/lib/fw.elf"}},
		"case 06 qemu-user":            {entries: []entry{exe("usr/bin/qemu-aarch64-static", amd64())}, want: []string{"note machine /usr/bin/qemu-aarch64-static"}},
		"case 07 multiarch root":       {entries: []entry{exe("usr/lib/arm-linux-gnueabihf/libc.so.6", arm32(hardFloat, 0, ""))}, want: []string{"note machine /usr/lib/arm-linux-gnueabihf/libc.so.6"}},
		"case 07 i386 on amd64":        {platform: "linux/amd64", entries: []entry{exe("usr/lib32/libc.so.6", i386()), exe("usr/lib/i386-linux-gnu/libc.so.6", i386())}, want: []string{"note machine /usr/lib/i386-linux-gnu/libc.so.6", "note machine /usr/lib32/libc.so.6"}},
		"case 07 wine":                 {platform: "linux/amd64", entries: []entry{exe("usr/lib/wine/ntdll.so", i386())}, want: []string{"note machine /usr/lib/wine/ntdll.so"}},
		"case 07 the root's own":       {entries: []entry{exe("usr/lib/aarch64-linux-gnu/libc.so.6", amd64())}, want: []string{"warning machine /usr/lib/aarch64-linux-gnu/libc.so.6"}},
		"case 08 cross toolchain":      {platform: "linux/amd64", entries: []entry{exe("usr/aarch64-linux-gnu/lib/libc.so.6", arm64()), exe("usr/lib/gcc-cross/x/libgcc.so", arm64())}, want: []string{"note machine /usr/aarch64-linux-gnu/lib/libc.so.6", "note machine /usr/lib/gcc-cross/x/libgcc.so"}},
		"case 09 x32":                  {platform: "linux/amd64", entries: []entry{exe("usr/bin/x", elfSpec{machine: elf.EM_X86_64, class: elf.ELFCLASS32}.make()), exe("usr/libx32/libc.so.6", elfSpec{machine: elf.EM_X86_64, class: elf.ELFCLASS32}.make())}, want: []string{"warning machine /usr/bin/x", "note machine /usr/libx32/libc.so.6"}},
		"case 10 soft float in v7":     {platform: "linux/arm/v7", entries: []entry{exe("usr/bin/x", arm32(softFloat, 0, "/"+ldARM)), exe(ldARM, arm32(hardFloat, 0, ""))}, want: []string{"warning machine /usr/bin/x"}},
		"case 10 hard float in v5":     {platform: "linux/arm/v5", entries: []entry{exe("usr/bin/x", arm32(hardFloat, 0, "/"+ldARM)), exe(ldARM, arm32(softFloat, 0, ""))}, want: []string{"warning machine /usr/bin/x"}},
		"case 10 static soft float":    {platform: "linux/arm/v7", entries: []entry{exe("usr/bin/x", arm32(softFloat, 0, ""))}},
		"case 10 v7 code in v6":        {platform: "linux/arm/v6", entries: []entry{exe("usr/bin/x", arm32(hardFloat, 10, ""))}, want: []string{"warning machine /usr/bin/x"}},
		"case 10 v6 code in v7":        {platform: "linux/arm/v7", entries: []entry{exe("usr/bin/x", arm32(hardFloat, 6, ""))}},
		"case 11 amd64/v3 code":        {platform: "linux/amd64", entries: []entry{exe("usr/bin/x", elfSpec{machine: elf.EM_X86_64, isa: 7}.make())}, want: []string{"note cpu /usr/bin/x"}},
		"case 11 amd64/v3 image":       {platform: "linux/amd64/v3", entries: []entry{exe("usr/bin/x", elfSpec{machine: elf.EM_X86_64, isa: 7}.make())}},
		"case 11 amd64/v2 code":        {platform: "linux/amd64", entries: []entry{exe("usr/bin/x", elfSpec{machine: elf.EM_X86_64, isa: 3}.make())}},
		"case 12 glibc without it":     {entries: []entry{exe("usr/bin/x", linked(elf.EM_AARCH64, glibcARM64)), exe("opt/x", linked(elf.EM_AARCH64, "/lib/ld-musl-aarch64.so.1"))}, want: []string{"warning interpreter /usr/bin/x", "note interpreter /opt/x"}},
		"case 13 a Java class":         {entries: []entry{exe("usr/bin/A.class", class)}},
		"case 13 a program of macOS":   {entries: []entry{exe("usr/bin/a", fat), exe("usr/lib/node_modules/fsevents.node", fat)}, want: []string{"warning format /usr/bin/a"}},
		"case 14 .NET":                 {entries: []entry{exe("app/App.dll", pe), exe("usr/bin/a.exe", pe)}, want: []string{"warning format /usr/bin/a.exe"}},
		"case 15 archives":             {entries: []entry{exe("opt/a.jar", zipOf(t, exe("z.so", amd64()))), exe("opt/b-linux-x86_64.jar", zipOf(t, exe("z.so", amd64()))), exe("root/c.whl", zipOf(t, exe("z.so", arm64()))), exe("opt/d.zip", zipOf(t, exe("testdata/z", amd64())))}, want: []string{"warning archive /opt/a.jar!z.so", "note archive /opt/b-linux-x86_64.jar!z.so"}},
		"case 16 packed programs":      {entries: []entry{exe("usr/bin/upx", amd64()), sh("usr/bin/self", "#!/bin/sh\nexit\n"+string(amd64()))}, want: []string{"warning machine /usr/bin/upx"}},
		"case 17 addons":               {entries: []entry{exe("app/node_modules/x/build/Release/x.node", amd64()), exe("usr/local/lib/python3.12/site-packages/x.so", amd64()), exe("app/node_modules/y/prebuilds/linux-x64/y.node", amd64())}, want: []string{"warning machine /usr/local/lib/python3.12/site-packages/x.so", "note machine /app/node_modules/x/build/Release/x.node", "note machine /app/node_modules/y/prebuilds/linux-x64/y.node"}},
		"case 18 hard links":           {entries: []entry{exe("usr/bin/x", amd64()), hard("opt/y", "usr/bin/x"), exe("usr/bin/x", arm64())}, want: []string{"note machine /opt/y"}},
		"case 19 tiny files":           {entries: []entry{exe("usr/bin/a", nil), exe("usr/bin/b", []byte("\x7fELF")), exe("usr/bin/c", arm64()[:30]), exe("usr/bin/d", amd64()[:30])}, want: []string{"warning format /usr/bin/c", "warning machine /usr/bin/d"}},
		"case 20 kernels":              {entries: []entry{text("boot/initrd.img", "070701"+strings.Repeat("0", 200)), text("boot/vmlinuz", string(pe))}},
		"case 21 toolchain on purpose": {entries: []entry{exe("usr/local/go/pkg/tool/linux_amd64/compile", amd64()), exe("root/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/bin/rustc", amd64())}, want: []string{"note machine /root/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/bin/rustc", "note machine /usr/local/go/pkg/tool/linux_amd64/compile"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.platform == "" {
				test.platform = "linux/arm64"
			}
			if test.want == nil {
				test.want = []string{}
			}
			img := spec{platform: test.platform, layers: []layer{{entries: test.entries}}}
			report := verifyImage(t, img, verify.Options{})
			if diff := cmp.Diff(test.want, lines(report)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			// Nothing of it is what the image starts.
			if report := verifyImage(t, img, verify.Options{Mode: verify.Entrypoint}); len(report.Findings) > 0 {
				t.Errorf("mode entrypoint: %q", lines(report))
			}
		})
	}
}

// TestCornerCaseSparse is case 19: a file of 10 GB that takes no place.
func TestCornerCaseSparse(t *testing.T) {
	t.Parallel()
	report := verifyImage(t, spec{platform: "linux/arm64", layers: []layer{{raw: sparseTar(t)}}}, verify.Options{})
	if len(report.Findings) > 0 || report.Files != 1 {
		t.Errorf("%+v", report)
	}
}

// TestMachines verifies a program of each architecture against all platforms.
func TestMachines(t *testing.T) {
	t.Parallel()
	b32 := elf.ELFCLASS32
	files := map[string][]byte{
		"linux/amd64": amd64(), "linux/386": i386(), "linux/arm64": arm64(),
		"linux/arm/v5":   arm32(softFloat, 4, "/x"),
		"linux/arm/v6":   arm32(hardFloat, 9, "/x"),
		"linux/ppc64le":  of(elf.EM_PPC64),
		"linux/ppc64":    elfSpec{machine: elf.EM_PPC64, big: true}.make(),
		"linux/s390x":    elfSpec{machine: elf.EM_S390, big: true}.make(),
		"linux/riscv64":  of(elf.EM_RISCV),
		"linux/loong64":  of(elf.EM_LOONGARCH),
		"linux/mips64le": of(elf.EM_MIPS),
		"linux/mips64":   elfSpec{machine: elf.EM_MIPS, big: true}.make(),
		"linux/mipsle":   elfSpec{machine: elf.EM_MIPS, class: b32}.make(),
		"linux/mips":     elfSpec{machine: elf.EM_MIPS, class: b32, big: true}.make(),
		"linux/ppc":      elfSpec{machine: elf.EM_PPC, class: b32, big: true}.make(),
	}
	for platform := range files {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			for other, body := range files {
				config := run("/app")
				report := verifyImage(t, spec{platform: platform, config: config, layers: []layer{{entries: []entry{exe("app", body), exe("x", files[platform])}}}}, verify.Options{Mode: verify.Entrypoint})
				if report.Failed() != (platform != other) {
					t.Errorf("%s in an image for %s: %q", other, platform, lines(report))
				}
			}
		})
	}
}
