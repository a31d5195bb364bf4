package verify_test

import (
	"debug/elf"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify"
)

func run(words ...string) ocispec.ImageConfig {
	return ocispec.ImageConfig{Entrypoint: words}
}

// base is a userland for arm64 with a shell in Alpine's way.
func base() []entry {
	return []entry{
		dir("bin"), exe("bin/busybox", linked(elf.EM_AARCH64, "/lib/ld-musl-aarch64.so.1")), ln("bin/sh", "/bin/busybox"),
		exe("lib/ld-musl-aarch64.so.1", arm64()), ln("lib/libc.musl-aarch64.so.1", "ld-musl-aarch64.so.1"),
		exe("usr/bin/env", linked(elf.EM_AARCH64, "/lib/ld-musl-aarch64.so.1")),
	}
}

// TestDisguises hides a program for another machine in an image for arm64, or amd64
// in the last case.
func TestDisguises(t *testing.T) {
	t.Parallel()
	jar := zipOf(t, entry{name: "META-INF/MANIFEST.MF", body: []byte("Main-Class: A\n")}, entry{name: "native/libz.so", body: amd64()})
	for name, test := range map[string]struct {
		image spec
		want  []string
		via   string
	}{
		"symlinked": {
			image: spec{config: run("/app"), layers: []layer{{entries: append(base(), exe("opt/real", amd64()), ln("app", "opt/current"), ln("opt/current", "/opt/real"))}}},
			want:  []string{"error machine /opt/real"}, via: "ENTRYPOINT",
		},
		"behind a shell wrapper": {
			image: spec{config: run("docker-entrypoint.sh"), layers: []layer{{entries: append(base(), exe("srv/app", amd64()),
				sh("usr/local/bin/docker-entrypoint.sh", "#!/bin/sh\nset -e\nif [ \"$1\" ]; then exec \"$@\"; fi\nexec /srv/app --serve\n"))}}},
			want: []string{"error machine /srv/app"}, via: "ENTRYPOINT > /usr/local/bin/docker-entrypoint.sh",
		},
		"behind env in a shebang line": {
			image: spec{config: run("/start"), layers: []layer{{entries: append(base(), exe("usr/local/bin/node", amd64()), sh("start", "#!/usr/bin/env -S node --title=x\n"))}}},
			want:  []string{"error machine /usr/local/bin/node"}, via: "ENTRYPOINT > /start > /usr/bin/env",
		},
		"run by env and gosu": {
			image: spec{config: run("env", "-i", "-u", "X", "A=b", "gosu", "me", "app"), layers: []layer{{entries: append(base(), exe("usr/bin/gosu", arm64()), exe("usr/local/bin/app", amd64()))}}},
			want:  []string{"error machine /usr/local/bin/app"}, via: "ENTRYPOINT > /usr/bin/env > /usr/bin/gosu",
		},
		"a script for a shell": {
			image: spec{config: run("sh", "-e", "/srv/run.sh", "app"), layers: []layer{{entries: append(base(), text("srv/run.sh", "#!/bin/sh\nexec \"$@\"\n"), exe("usr/local/bin/app", amd64()))}}},
			want:  []string{"error machine /usr/local/bin/app"}, via: "ENTRYPOINT > /bin/busybox > /srv/run.sh",
		},
		"hard link": {
			image: spec{config: run("/app"), layers: []layer{{entries: append(base(), exe("opt/tool", amd64()), hard("app", "opt/tool"))}}},
			want:  []string{"error machine /app", "note machine /opt/tool"}, via: "ENTRYPOINT",
		},
		"hard link to a layer below": {
			image: spec{config: run("/app"), layers: []layer{{entries: append(base(), exe("opt/tool", amd64()))}, {entries: []entry{hard("app", "opt/tool")}}}},
			want:  []string{"error machine /app", "note machine /opt/tool"}, via: "ENTRYPOINT",
		},
		"inside a jar": {
			image: spec{config: run("java", "-jar", "/app.jar"), layers: []layer{{entries: append(base(), exe("usr/bin/java", arm64()), exe("app.jar", jar))}}},
			want:  []string{"error archive /app.jar!native/libz.so"}, via: "ENTRYPOINT > /usr/bin/java",
		},
		"inside a jar that something else loads": {
			image: spec{config: run("/bin/sh"), layers: []layer{{entries: append(base(), exe("opt/lib/z.jar", jar))}}},
			want:  []string{"warning archive /opt/lib/z.jar!native/libz.so"},
		},
		"in a zstd layer": {
			image: spec{config: run("/app"), layers: []layer{{entries: base()}, {zstd: true, entries: []entry{exe("app", amd64())}}}},
			want:  []string{"error machine /app"}, via: "ENTRYPOINT",
		},
		"overwritten in a later layer": {
			image: spec{config: run("/app"), layers: []layer{{entries: append(base(), exe("app", arm64()))}, {entries: []entry{exe("app", amd64())}}}},
			want:  []string{"error machine /app"}, via: "ENTRYPOINT",
		},
		"dynamically linked with missing interpreter": {
			image: spec{config: run("/app"), layers: []layer{{entries: append(base(), exe("app", linked(elf.EM_AARCH64, glibcARM64)))}}},
			want:  []string{"error interpreter /app"}, via: "ENTRYPOINT",
		},
		"386 in amd64": {
			image: spec{platform: "linux/amd64", config: run("/app"), layers: []layer{{entries: []entry{exe("app", i386())}}}},
			want:  []string{"error machine /app"}, via: "ENTRYPOINT",
		},
		"run by tini": {
			image: spec{config: run("/sbin/tini", "-g", "--", "/app"), layers: []layer{{entries: append(base(), exe("sbin/tini", arm64()), exe("app", amd64()))}}},
			want:  []string{"error machine /app"}, via: "ENTRYPOINT > /sbin/tini",
		},
		"in CMD": {
			image: spec{config: ocispec.ImageConfig{Entrypoint: []string{"/e.sh"}, Cmd: []string{"app", "-v"}}, layers: []layer{{entries: append(base(), sh("e.sh", "#!/bin/sh\nexec \"$@\"\n"), exe("usr/bin/app", amd64()))}}},
			want:  []string{"error machine /usr/bin/app"}, via: "ENTRYPOINT > /e.sh",
		},
		"in the shell form of CMD": {
			image: spec{config: ocispec.ImageConfig{Cmd: []string{"/bin/sh", "-c", "FOO=1 exec $APP/server --x"}, Env: []string{"APP=/srv"}}, layers: []layer{{entries: append(base(), exe("srv/server", amd64()))}}},
			want:  []string{"error machine /srv/server"}, via: "CMD > /bin/busybox",
		},
		"the interpreter itself": {
			image: spec{config: run("/app"), layers: []layer{{entries: []entry{exe("app", linked(elf.EM_AARCH64, glibcARM64)), exe("lib/ld-linux-aarch64.so.1", amd64())}}}},
			want:  []string{"error machine /lib/ld-linux-aarch64.so.1"}, via: "ENTRYPOINT > /app",
		},
		"relative to WORKDIR": {
			image: spec{config: ocispec.ImageConfig{Entrypoint: []string{"./app"}, WorkingDir: "/srv"}, layers: []layer{{plain: true, entries: []entry{exe("srv/app", amd64())}}}},
			want:  []string{"error machine /srv/app"}, via: "ENTRYPOINT",
		},
		"Mach-O": {
			image: spec{config: run("/app"), layers: []layer{{entries: []entry{exe("app", append([]byte("\xcf\xfa\xed\xfe"), make([]byte, 100)...))}}}},
			want:  []string{"error format /app"}, via: "ENTRYPOINT",
		},
		"PE": {
			image: spec{config: run("/app.exe"), layers: []layer{{entries: []entry{exe("app.exe", append([]byte("MZ"), make([]byte, 100)...))}}}},
			want:  []string{"error format /app.exe"}, via: "ENTRYPOINT",
		},
		"line ends of Windows": {
			image: spec{config: run("/e.sh"), layers: []layer{{entries: append(base(), sh("e.sh", "#!/bin/sh\r\nexec \"$@\"\r\n"))}}},
			want:  []string{"error interpreter /e.sh"}, via: "ENTRYPOINT",
		},
		"links in a circle": {
			image: spec{config: run("/app"), layers: []layer{{entries: []entry{ln("app", "b"), ln("b", "app")}}}},
			want:  []string{"error missing "}, via: "ENTRYPOINT",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.image.platform == "" {
				test.image.platform = "linux/arm64"
			}
			report := verifyImage(t, test.image, verify.Options{})
			if diff := cmp.Diff(test.want, lines(report)); diff != "" {
				t.Fatalf("findings (-want +got):\n%s\n%+v", diff, report.Findings)
			}
			if via := strings.Join(report.Findings[0].Via, " > "); via != test.via {
				t.Errorf("via %q, want %q", via, test.via)
			}
			if report.Findings[0].Fix == "" {
				t.Error("no fix")
			}
			// What starts is verified in the smallest mode too.
			report = verifyImage(t, test.image, verify.Options{Mode: verify.Entrypoint})
			if started := test.via != ""; report.Failed() != started {
				t.Errorf("mode entrypoint: %q", lines(report))
			}
		})
	}
}

// TestGoodImages are silent.
func TestGoodImages(t *testing.T) {
	t.Parallel()
	for name, image := range map[string]spec{
		"a static program":       {platform: "linux/arm64", config: run("/app"), layers: []layer{{entries: []entry{exe("app", arm64())}}}},
		"a shell":                {platform: "linux/arm64", config: run("/bin/sh", "-c", "echo hello; ls /"), layers: []layer{{entries: base()}}},
		"nothing to start":       {platform: "linux/arm64", layers: []layer{{entries: []entry{text("data.txt", "hello")}}}},
		"no layers":              {platform: "linux/arm64"},
		"replaced by a good one": {platform: "linux/arm64", config: run("/app"), layers: []layer{{entries: []entry{exe("app", amd64())}}, {entries: []entry{exe("app", arm64())}}}},
		"removed": {platform: "linux/arm64", layers: []layer{
			{entries: []entry{exe("usr/bin/x", amd64()), exe("opt/a/b/x", amd64()), exe("srv/a/x", amd64()), exe("var/x", amd64())}},
			{entries: []entry{{name: "usr/bin/.wh.x"}, {name: "opt/.wh.a"}, {name: "srv/.wh..wh..opq"}, text("srv/new", ""), text("var", "a file")}},
		}},
		"a jar for all": {platform: "linux/arm64", config: run("java", "-jar", "/a.jar"), layers: []layer{{entries: []entry{
			exe("usr/bin/java", arm64()), exe("a.jar", zipOf(t, entry{name: "x86-64/z.so", body: amd64()}, entry{name: "aarch64/z.so", body: arm64()})),
		}}}},
		"a script that chooses": {platform: "linux/arm64", config: run("/e.sh"), layers: []layer{{entries: append(base(),
			sh("e.sh", "#!/bin/sh\ncase $(uname -m) in\nx86_64) exec /opt/amd64/app ;;\naarch64) exec /opt/arm64/app ;;\nesac\n"),
			exe("opt/arm64/app", arm64()))}}},
		"Debian's merged /usr": {platform: "linux/arm64", config: run("bash"), layers: []layer{{entries: []entry{
			ln("bin", "usr/bin"), ln("lib", "usr/lib"), exe("usr/bin/bash", linked(elf.EM_AARCH64, glibcARM64)),
			ln("usr/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu/ld-linux-aarch64.so.1"),
		}}, {entries: []entry{exe("lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", arm64())}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := verifyImage(t, image, verify.Options{})
			if len(report.Findings) > 0 {
				t.Errorf("%+v", report.Findings)
			}
		})
	}
}

// TestScriptThatChoosesWrong has the program for the platform, and starts both.
func TestScriptThatChooses(t *testing.T) {
	t.Parallel()
	image := spec{platform: "linux/arm64", config: run("/e.sh"), layers: []layer{{entries: append(base(),
		sh("e.sh", "#!/bin/sh\ncase $(uname -m) in\nx86_64) exec /opt/app-amd64 ;;\naarch64) exec /opt/app-arm64 ;;\nesac\n"),
		exe("opt/app-arm64", arm64()), exe("opt/app-amd64", amd64()))}}}
	report := verifyImage(t, image, verify.Options{})
	if report.Failed() {
		t.Errorf("%+v", report.Findings)
	}
	if !slices.Equal(lines(report), []string{"note machine /opt/app-amd64"}) {
		t.Errorf("%q", lines(report))
	}
}
