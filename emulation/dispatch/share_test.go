package dispatch_test

import (
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

func TestParseShare(t *testing.T) {
	for text, want := range map[string]float64{"": 0, "0%": 0, "5%": 0.05, "0.5%": 0.005, "100%": 1, "12.5%": 0.125} {
		if got, err := dispatch.ParseShare(text); got != want || err != nil {
			t.Errorf("ParseShare(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"5", "%", "0.05", "101%", "-1%", "+5%", "5 %", "5%%", "NaN%", "Inf%", "1e1%", "0x5%", "1_0%", "on", "1.2.3%"} {
		if got, err := dispatch.ParseShare(text); err == nil || !strings.Contains(err.Error(), "write 5%") {
			t.Errorf("ParseShare(%q) = %v, %v", text, got, err)
		}
	}
}

func FuzzParseShare(f *testing.F) {
	for _, text := range []string{"", "5%", "0.5%", "100%", "5", "NaN%", "1e999%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if share, err := dispatch.ParseShare(text); err == nil && !(share >= 0 && share <= 1) {
			t.Errorf("ParseShare(%q) = %v", text, share)
		}
	})
}
