package pin_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/pin"
)

// FuzzApply pins the first stage: no line moves, the result parses, and without
// the additions it is the original.
func FuzzApply(f *testing.F) {
	for _, seed := range []string{
		"FROM golang AS b\nRUN go build\nFROM x\n", "FROM a\nRUN --mount=type=cache,target=/x \\\n# c\n\n go build\nFROM b\n",
		"# escape=`\nfrom a\nRUN <<E\ngo build\nE\nFROM b\n", "FROM a\r\nRUN cd x && go build\r\nFROM b",
	} {
		f.Add([]byte(seed))
	}
	platform := platforms.MustParse("linux/arm64")
	f.Fuzz(func(t *testing.T, text []byte) {
		edited, err := pin.Apply(text, []pin.Pin{{Stage: "0"}}, platform)
		if err != nil {
			return
		}
		before, after := bytes.SplitAfter(text, []byte("\n")), bytes.SplitAfter(edited, []byte("\n"))
		if len(before) != len(after) {
			t.Fatalf("%d lines became %d", len(before), len(after))
		}
		prefix := "export " + strings.Join(pin.Environment(platform), " ") + "; "
		for i := range before {
			if bytes.Equal(before[i], after[i]) {
				continue
			}
			restored := bytes.Replace(bytes.Replace(after[i], []byte(prefix), nil, 1), []byte(" --platform=$BUILDPLATFORM"), nil, 1)
			if !bytes.Equal(before[i], restored) {
				t.Errorf("line %d: %q became %q", i+1, before[i], after[i])
			}
		}
		if _, err := parser.Parse(bytes.NewReader(edited)); err != nil {
			t.Errorf("the result cannot be read: %v", err)
		}
	})
}

// FuzzPatch patches twice, which is the same as once.
func FuzzPatch(f *testing.F) {
	f.Add([]byte("FROM golang AS b\nRUN go mod download\nRUN go build\nFROM x\n"))
	f.Add([]byte("FROM golang\r\nENV GOARCH=x\r\nRUN <<E\r\ngo build\r\nE\r\nFROM x"))
	list := []ocispec.Platform{platforms.MustParse("linux/arm64")}
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := pin.Patch(text, []pin.Pin{{Stage: "0"}}, list)
		if err != nil {
			return
		}
		twice, err := pin.Patch(once, []pin.Pin{{Stage: "0"}}, list)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q is patched to %q, and again to %q (%v)", text, once, twice, err)
		}
	})
}
