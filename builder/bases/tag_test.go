package bases_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/bases"
)

func FuzzParseTag(f *testing.F) {
	good := bases.Tag{
		Version: 1, Ref: "docker.io/library/alpine:3", Resolved: time.Date(2026, 11, 25, 18, 0, 0, 1, time.UTC),
		Digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	}
	text, err := good.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-2])
	f.Add([]byte(`{"version":1,"ref":"alpine","digest":"sha256:","resolved":"0001-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"Version":1}{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		one, err := bases.ParseTag(text)
		if err != nil {
			return
		}
		encoded, err := one.Encode()
		if err != nil {
			t.Fatal(err)
		}
		two, err := bases.ParseTag(encoded)
		if err != nil || !cmp.Equal(one, two) {
			t.Errorf("%q became %q: %v", text, encoded, err)
		}
	})
}
