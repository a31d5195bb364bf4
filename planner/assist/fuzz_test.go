package assist_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/mabuild/mabuild/planner/assist"
)

// FuzzInsertFlags puts a mount into every RUN: no line moves, no other line
// changes, the result means the same but for the mount, and taking the mount away
// gives the original.
func FuzzInsertFlags(f *testing.F) {
	for _, seed := range []string{
		"FROM a\nRUN go build\n", "FROM a\nRUN\\\n --network=none go \\\n\n# c\n build\nRUN <<A <<B\nRUN x\nA\nB\n",
		"# escape=`\nFROM a\n run`\n x\r\nRUN [\"x\", \"y\"]", "FROM a\nRUN --mount=type=cache,target=/x \\\n  x \\\n && y\nONBUILD RUN z\n",
		"\ufeffFROM a\nRUN\tx\nSHELL [\"a\"]\nRUN \"x\\\ny\"\n",
	} {
		f.Add([]byte(seed))
	}
	const flag = "--mount=type=bind,from=mabuild-assist-go,source=/a/b,target=/c/d"
	f.Fuzz(func(t *testing.T, text []byte) {
		inserts := map[int]string{}
		for _, line := range assist.RunLines(text) {
			inserts[line] = flag
		}
		edited, err := assist.InsertFlags(text, inserts)
		if err != nil {
			return // what cannot be edited is refused
		}
		before, after := bytes.SplitAfter(text, []byte("\n")), bytes.SplitAfter(edited, []byte("\n"))
		if len(before) != len(after) {
			t.Fatalf("%d lines became %d", len(before), len(after))
		}
		for i := range before {
			restored := after[i]
			if inserts[i+1] != "" {
				restored = bytes.Replace(restored, []byte(" "+flag), nil, 1)
			}
			if !bytes.Equal(before[i], restored) {
				t.Errorf("line %d: %q became %q", i+1, before[i], after[i])
			}
		}
		parsed, err := parser.Parse(bytes.NewReader(edited))
		if err != nil {
			t.Fatalf("the result cannot be read: %v", err)
		}
		found := 0
		for _, node := range parsed.AST.Children {
			if slices.Contains(node.Flags, flag) {
				found++
			}
		}
		if found < len(inserts) {
			t.Errorf("%d of %d mounts are there", found, len(slices.Collect(maps.Keys(inserts))))
		}
	})
}
