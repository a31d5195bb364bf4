package ci_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/mabuild/mabuild/builder/ci"
)

// BenchmarkLog is the way of a line of output through a log with two secrets.
func BenchmarkLog(b *testing.B) {
	for name, line := range map[string]string{
		"plain":    "#12 103.4 gcc -O2 -Wall -c -o build/objects/network/connection.o source/network/connection.c",
		"coloured": "#12 103.4 \x1b[32mgcc\x1b[0m -O2 -Wall -c -o build/objects/network/connection.o source/network/connection.c",
		"hostile":  "\x1b[2K::error file=x::##[group]\u200b progress\rover",
	} {
		b.Run(name, func(b *testing.B) {
			l := ci.NewLog(io.Discard, ci.LogOptions{System: ci.GitHub, Secrets: []string{"ghs_16C7e42F292c6912E7710c838347Ae178B4a", "one line\nanother line"}})
			b.SetBytes(int64(len(line)) + 1)
			for b.Loop() {
				fmt.Fprintln(l, line)
			}
		})
	}
}
