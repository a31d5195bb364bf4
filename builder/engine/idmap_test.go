package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/engine"
)

func TestParseSubIDs(t *testing.T) {
	tests := map[string]struct {
		want engine.IDRange
		ok   bool
	}{
		"me:100000:65536\n":                            {engine.IDRange{Start: 100000, Count: 65536}, true},
		"1000:100000:65536\n":                          {engine.IDRange{Start: 100000, Count: 65536}, true},
		"you:100000:65536\n":                           {},
		"me:100000:10\nme:200000:65536\nme:300000:5\n": {engine.IDRange{Start: 200000, Count: 65536}, true},
		"  me:100000:65536  \n":                        {engine.IDRange{Start: 100000, Count: 65536}, true},
		"me:100000\nme:x:1\nme:1:x\n:1:1\n#me:1:1\n":   {},
		"me:0:65536\n":                                 {},
		"me:4294967290:65536\n":                        {},
		"me:99999999999:1\n":                           {},
		"":                                             {},
	}
	for text, test := range tests {
		t.Run(text, func(t *testing.T) {
			got, ok := engine.ParseSubIDs([]byte(text), "me", "1000")
			if got != test.want || ok != test.ok {
				t.Errorf("got %+v, %t; want %+v, %t", got, ok, test.want, test.ok)
			}
		})
	}
}

func FuzzParseSubIDs(f *testing.F) {
	f.Add([]byte("me:100000:65536\n"))
	f.Add([]byte("me:4294967295:4294967295\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := engine.ParseSubIDs(text, "me", "1000")
		if ok && (got.Start == 0 || uint64(got.Start)+uint64(got.Count) > 1<<32-1) {
			t.Errorf("the kernel refuses %+v", got)
		}
	})
}

func TestParseIDMap(t *testing.T) {
	tests := map[string][]engine.IDRange{
		"         0          0 4294967295\n": {{Start: 0, Count: 1}, {Start: 1, Count: 4294967294}},
		"0 1000 1\n":                         {{Start: 0, Count: 1}},
		"0 1000 1\n1 100000 65536\n":         {{Start: 0, Count: 1}, {Start: 1, Count: 65536}},
		"":                                   nil,
		"nonsense\n0 0 0\n1 2\n-1 0 5\n":     nil,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			if diff := cmp.Diff(want, engine.ParseIDMap([]byte(text))); diff != "" {
				t.Errorf("the ranges differ (-want +got):\n%s", diff)
			}
		})
	}
}
