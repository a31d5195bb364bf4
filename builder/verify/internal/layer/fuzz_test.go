package layer_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

// FuzzRead reads anything as a layer, and what it got from it again from its
// encoding.
func FuzzRead(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	limits := layer.Limits{Entries: 1000, Records: 500, Ratio: 8, Free: 1 << 20}
	f.Fuzz(func(t *testing.T, blob []byte) {
		r := layer.Reader{Limits: limits}
		desc := ocispec.Descriptor{Digest: digest.FromBytes(blob), Size: int64(len(blob))}
		l, err := r.Read(t.Context(), bytes.NewReader(blob), desc, digest.FromBytes(blob))
		if err != nil {
			if !errors.Is(err, layer.ErrFormat) && !errors.Is(err, layer.ErrLimit) && !errors.Is(err, layer.ErrDigest) {
				t.Fatalf("unexpected error: %v", err)
			}
			return
		}
		again, err := layer.Decode(l.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(slices.Collect(l.All()), slices.Collect(again.All())); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzDecode reads anything with a right checksum as the encoding of a layer.
func FuzzDecode(f *testing.F) {
	for _, seed := range seeds(f) {
		if l, err := read(f, seed); err == nil {
			f.Add(l.Encode())
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) >= sha256.Size {
			body = body[:len(body)-sha256.Size]
		}
		sum := sha256.Sum256(body)
		l, err := layer.Decode(append(slices.Clip(body), sum[:]...))
		if err != nil {
			return
		}
		if n := len(slices.Collect(l.All())); n != l.Records() {
			t.Errorf("%d records, %d expected", n, l.Records())
		}
	})
}

// FuzzScript reads anything as a script.
func FuzzScript(f *testing.F) {
	f.Add("#!/bin/sh\nexec /app \"$@\"\n")
	f.Add("#! /usr/bin/env -S bash -e\nif true; then exec env A=b '/x y' \\\n--z; fi # exec no\n")
	f.Add("#!/bin/sh\n" + "exec \"\x00\" 'unterminated\n/bin/x;/bin/y|/bin/z&&(/bin/w)")
	f.Fuzz(func(t *testing.T, body string) {
		shebang, commands := layer.SplitScript(layer.ParseScript([]byte("#!" + body)))
		if len(shebang) > 256 || len(commands) > 16 {
			t.Errorf("%d words, %d commands", len(shebang), len(commands))
		}
		for _, words := range commands {
			if len(words) == 0 {
				t.Error("a command without words")
			}
		}
		layer.CommandLine(body)
	})
}
