package dispatch_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

func TestFormatRules(t *testing.T) {
	rules := []string{"set GOARCH", "unset G++_ROOT", "script -m -O compileall", "refuse -fopenmp", "beside -include .gch", "files", "only /usr/lib/x y", "only /usr/lib/x", "plugin 00ab"}
	text, err := dispatch.FormatRules(rules)
	if want := strings.Join(rules, "\n") + "\n"; err != nil || string(text) != want {
		t.Errorf("got %q, %v; want %q", text, err, want)
	}
	if text, err := dispatch.FormatRules(nil); len(text) != 0 || err != nil {
		t.Errorf("no rules are %q, %v", text, err)
	}
	for _, rule := range []string{
		"", " ", "set", "set ", "set A=1", "set A B", " set A", "set  A", "set A ", "set A\n", "set A\nB", "set\tA", "set A\x00", "unset",
		"script", "first -m", "refuse", "refuse a b", "beside -include", "beside a b c", "files x", "Files", "only", "only x", "only /a b c", "plugin", "unknown x",
	} {
		if text, err := dispatch.FormatRules([]string{"files", rule}); err == nil {
			t.Errorf("%q is written as %q", rule, text)
		}
	}
	many := make([]string, dispatch.MaxRules/len("files\n"))
	for i := range many {
		many[i] = "files"
	}
	if _, err := dispatch.FormatRules(many); err != nil {
		t.Error(err)
	}
	if _, err := dispatch.FormatRules(append(many, "files")); err == nil {
		t.Error("more is written than the stub reads")
	}
}

// Whatever the rules are, there is a line for each, and the stub reads all of it.
func FuzzFormatRules(f *testing.F) {
	f.Add("set GOARCH|refuse -fopenmp")
	f.Add("script -m --max= tsc|unset NODE_OPTIONS")
	f.Add("only /usr/lib/bfd-plugins liblto_plugin.so|beside -include .gch|files")
	f.Fuzz(func(t *testing.T, joined string) {
		rules := strings.Split(joined, "|")
		text, err := dispatch.FormatRules(rules)
		if err != nil {
			return
		}
		lines := strings.SplitAfter(string(text), "\n")
		if len(text) > dispatch.MaxRules || bytes.IndexByte(text, 0) >= 0 || len(lines) != len(rules)+1 || lines[len(rules)] != "" {
			t.Fatalf("%q is written as %q", rules, text)
		}
		for i, rule := range rules {
			if lines[i] != rule+"\n" {
				t.Fatalf("%q is written as %q", rule, lines[i])
			}
		}
	})
}
