package script_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner/assist/script"
)

// FuzzRead reads scripts: it must not fail, and find what is written plainly.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"go build", "a && b | c > d", "x=$(y z) w", "case $a in b) c;; esac", "f() { g; }; f", "cat <<E\nx\nE", "a \\\n b", "$((1+2)) `x`"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		commands, opaque := script.Read([]string{"/bin/sh", "-c", text})
		if opaque && len(commands) > 0 {
			t.Error("a script that cannot be read has commands")
		}
		plain, opaque := script.Read([]string{"/bin/sh", "-c", "go build\n" + text})
		if !opaque && (len(plain) == 0 || !slices.Equal(plain[0].Words, []string{"go", "build"})) && !strings.ContainsAny(text, "()") {
			t.Errorf("the first command is %v", plain)
		}
	})
}
