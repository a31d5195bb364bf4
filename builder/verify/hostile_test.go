package verify_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/verify"
)

// TestHostileLinks has links that are legal one by one and take days together.
func TestHostileLinks(t *testing.T) {
	t.Parallel()
	var entries []entry
	detour := strings.Repeat("./", 1000)
	for i := range 39 {
		entries = append(entries, ln(fmt.Sprintf("l%d", i), detour+fmt.Sprintf("l%d", i+1)))
	}
	entries = append(entries, exe("l39", arm64()))
	for i := range 3000 {
		entries = append(entries, hard(fmt.Sprintf("h%d", i), "l0"))
	}
	s := newStore()
	desc := s.image(t, spec{platform: "linux/arm64", layers: []layer{{entries: entries}}})
	started := time.Now()
	if _, err := verify.Image(t.Context(), s, desc, verify.Options{}); !errors.Is(err, verify.ErrLimit) {
		t.Errorf("%v, want %v", err, verify.ErrLimit)
	}
	t.Logf("after %v", time.Since(started))
}

// TestLimits are for the whole image, not only for each layer.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := newStore()
	var layers []layer
	for i := range 5 {
		layers = append(layers, layer{entries: []entry{text(fmt.Sprintf("a%d", i), ""), text(fmt.Sprintf("b%d", i), ""), ln(fmt.Sprintf("c%d", i), "x")}})
	}
	desc := s.image(t, spec{platform: "linux/arm64", layers: layers})
	for name, limits := range map[string]verify.Limits{"entries": {Entries: 14}, "records": {Records: 4}} {
		if _, err := verify.Image(t.Context(), s, desc, verify.Options{Limits: limits}); !errors.Is(err, verify.ErrLimit) {
			t.Errorf("%s: %v, want %v", name, err, verify.ErrLimit)
		}
	}
	if _, err := verify.Image(t.Context(), s, desc, verify.Options{Limits: verify.Limits{Entries: 15, Records: 5}}); err != nil {
		t.Error(err)
	}
}

// TestManyFindings keeps the report short and readable, whatever the image.
func TestManyFindings(t *testing.T) {
	t.Parallel()
	var entries []entry
	for i := range 2000 {
		entries = append(entries, exe(fmt.Sprintf("usr/bin/x%04d", i), amd64()))
	}
	entries = append(entries, exe("opt/evil\x1b[31m\nname", amd64()))
	report := verifyImage(t, spec{platform: "linux/arm64", config: run("x1999"), layers: []layer{{entries: entries}}}, verify.Options{})
	if report.Count(verify.Error) != 1 || report.Count(verify.Warning) != 500 || report.Omitted != 1499 {
		t.Errorf("%d errors, %d warnings, %d omitted", report.Count(verify.Error), report.Count(verify.Warning), report.Omitted)
	}
	var out strings.Builder
	if err := verify.Text(&out, report); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n > 25 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%d lines\n%s", n, out.String())
	}
}
