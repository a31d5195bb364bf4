package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestArgDefaults is case 1: what BuildKit makes of a default for an automatic
// argument, by its scope. docs/planning.md has the table.
func TestArgDefaults(t *testing.T) {
	const stage = "FROM --platform=$BUILDPLATFORM busybox AS b\n%ARG%\nRUN echo -n \"$TARGETARCH\" > /arch\nFROM scratch\nCOPY --from=b /arch /\n"
	tests := []struct {
		name, dockerfile string
		args             []string
		want             string // for amd64 and arm64
		finding          bool
	}{
		{"declared in the stage", strings.ReplaceAll(stage, "%ARG%", "ARG TARGETARCH"), nil, "amd64 arm64", false},
		{"not declared (case 2)", strings.ReplaceAll(stage, "%ARG%", "ENV X=1"), nil, " ", false},
		{"default in the stage", strings.ReplaceAll(stage, "%ARG%", "ARG TARGETARCH=amd64"), nil, "amd64 amd64", true},
		{"global default declared in the stage", "ARG TARGETARCH=amd64\n" + strings.ReplaceAll(stage, "%ARG%", "ARG TARGETARCH"), nil, "amd64 amd64", true},
		{"global default not declared in the stage", "ARG TARGETARCH=amd64\n" + strings.ReplaceAll(stage, "%ARG%", "ENV X=1"), nil, " ", true},
		{
			"global default that selects a stage", "ARG TARGETARCH=amd64\nFROM busybox AS b-amd64\nFROM busybox AS b-arm64\n" +
				"FROM scratch AS amd64\nCOPY <<EOF /arch\namd64EOF\nEOF\nFROM scratch AS arm64\nCOPY <<EOF /arch\narm64EOF\nEOF\nFROM ${TARGETARCH}\n", nil,
			"amd64EOF\n amd64EOF\n", true,
		},
		{"default and --build-arg", strings.ReplaceAll(stage, "%ARG%", "ARG TARGETARCH=amd64"), []string{"--build-arg", "TARGETARCH=riscv64"}, "riscv64 riscv64", false},
		{"fallback in the stage", strings.ReplaceAll(stage, "%ARG%", "ARG TARGETARCH=${TARGETARCH:-amd64}"), nil, "amd64 amd64", true},
		{"global fallback", "ARG TARGETARCH=${TARGETARCH:-amd64}\n" + strings.ReplaceAll(stage, "%ARG%", "ARG TARGETARCH"), nil, "amd64 arm64", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := project(t, map[string]string{"Dockerfile": test.dockerfile})
			args := append([]string{"--platform", "linux/amd64,linux/arm64"}, test.args...)
			if test.finding {
				fails(t, command(t, append(args, "-o", filepath.Join(t.TempDir(), "none"), dir)...), 4, "builtin-arg-default", "TARGETARCH")
				args = append(args, "--allow-arg-default")
			}
			out := t.TempDir()
			mabuild(t, append(args, "-o", out, dir)...)
			var got []string
			for _, platform := range []string{"linux_amd64", "linux_arm64"} {
				text, err := os.ReadFile(filepath.Join(out, platform, "arch"))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(text))
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("BuildKit sets %q, not %q", got, test.want)
			}
		})
	}
}
