package host_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/host"
)

func TestParseConfig(t *testing.T) {
	const text = `# a comment
; another one

:python3:M::\xa7\x0d\x0d\x0a::/usr/bin/python3:
  :jar:E::jar::/usr/bin/jexec:
`
	want := []emulation.Handler{
		{Name: "python3", Magic: []byte("\xa7\r\r\n"), Interpreter: "/usr/bin/python3", Enabled: true},
		{Name: "jar", Extension: "jar", Interpreter: "/usr/bin/jexec", Enabled: true},
	}
	got, err := host.ParseConfig([]byte(text))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	got, err = host.ParseConfig([]byte(":broken\n" + text + ":a:Z::x::/y:"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with bad lines (-want +got):\n%s", diff)
	}
	for _, message := range []string{"line 1: ", "line 7: "} {
		if !errors.Is(err, emulation.ErrInvalid) || !strings.Contains(err.Error(), message) {
			t.Errorf("error %v lacks %q", err, message)
		}
	}
}

// What packages have on this machine.
func TestParseConfigOfPackages(t *testing.T) {
	files, err := filepath.Glob("/usr/lib/binfmt.d/*.conf")
	if err != nil || len(files) == 0 {
		t.Skip("there are none here")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if handlers, err := host.ParseConfig(text); err != nil || len(handlers) == 0 {
			t.Errorf("%s: %v, %v", file, handlers, err)
		}
	}
}

func TestConfigRoundTrip(t *testing.T) {
	for _, arch := range emulation.Arches() {
		want := arch.Handler("/opt/a directory: qemu")
		text, err := host.FormatConfig(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := host.ParseConfig(text)
		if diff := cmp.Diff([]emulation.Handler{want}, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", arch.Name, err, diff)
		}
		if !bytes.HasPrefix(text, []byte(host.Marker+"\n")) || bytes.Count(text, []byte("\n")) != 2 {
			t.Errorf("%s: %q", arch.Name, text)
		}
	}
}

func TestWithout(t *testing.T) {
	got := string(host.Without([]byte("# two\n:a:E::a::/a:\n|b|E||b||/b|\n:a:E::c::/c:"), map[string]bool{"a": true}))
	if !strings.HasPrefix(got, host.Marker+"\n") || !strings.HasSuffix(got, "\n# two\n|b|E||b||/b|\n") {
		t.Errorf("= %q", got)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("# c\n:python3:M::\\xa7\\x0d\\x0d\\x0a::/usr/bin/python3:\n:jar:E::jar::/usr/bin/jexec:POCF\n"))
	f.Add([]byte(":broken\n\n;x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		handlers, _ := host.ParseConfig(text)
		for _, h := range handlers {
			formatted, err := host.FormatConfig(h)
			if err != nil {
				t.Fatalf("%+v cannot be written: %v", h, err)
			}
			again, err := host.ParseConfig(formatted)
			if diff := cmp.Diff([]emulation.Handler{h}, again); err != nil || diff != "" {
				t.Errorf("%q: %v (-want +got):\n%s", formatted, err, diff)
			}
			names := map[string]bool{h.Name: true}
			left, _ := host.ParseConfig(host.Without(text, names))
			for _, other := range left {
				if other.Name == h.Name {
					t.Errorf("%q still registers %q", text, h.Name)
				}
			}
		}
	})
}

func FuzzParseAdminFormat(f *testing.F) {
	f.Add([]byte("qemu-user-static\nmagic\n0\nx\ny\n/usr/bin/q\n\nno\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, parse := range []func([]byte) (string, bool){host.ParseAdminFormat, host.ParsePackageFormat} {
			if interpreter, ok := parse(text); ok && (!filepath.IsAbs(interpreter) || !bytes.Contains(text, []byte(interpreter))) {
				t.Errorf("%q: interpreter %q", text, interpreter)
			}
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"version":1,"installed":[{"arch":"aarch64","handler":":qemu-aarch64:E::x::/q:POCF",
		"replaced":[{"handler":":a:E::a::/a:","disabled":true}],"overrides":["/etc/binfmt.d/a.conf"]}]}`))
	f.Add([]byte(`{"version":1,"installed":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		written, err := host.ParseState(text)
		if err != nil {
			return
		}
		again, err := host.ParseState(written)
		if err != nil || !bytes.Equal(written, again) {
			t.Errorf("%s becomes %s, %v", written, again, err)
		}
	})
}

func TestParseState(t *testing.T) {
	const entry = `{"arch":"aarch64","handler":":qemu-aarch64:E::x::/q:POCF"}`
	for name, text := range map[string]string{
		"not JSON":            `{"version":1`,
		"no version":          `{"installed":[]}`,
		"a later version":     `{"version":2,"installed":[]}`,
		"unknown arch":        `{"version":1,"installed":[{"arch":"pdp11","handler":":a:E::x::/q:"}]}`,
		"another name for it": `{"version":1,"installed":[{"arch":"arm64","handler":":a:E::x::/q:"}]}`,
		"twice":               `{"version":1,"installed":[` + entry + `,` + entry + `]}`,
		"no handler":          `{"version":1,"installed":[{"arch":"aarch64"}]}`,
		"bad handler":         `{"version":1,"installed":[{"arch":"aarch64","handler":"/etc/passwd"}]}`,
		"the status file":     `{"version":1,"installed":[{"arch":"aarch64","handler":":status:E::x::/q:"}]}`,
		"replaced nothing":    `{"version":1,"installed":[{"arch":"aarch64","handler":":a:E::x::/q:","replaced":[{}]}]}`,
		"relative override":   `{"version":1,"installed":[{"arch":"aarch64","handler":":a:E::x::/q:","overrides":["x.conf"]}]}`,
		"other override":      `{"version":1,"installed":[{"arch":"aarch64","handler":":a:E::x::/q:","overrides":["/etc/passwd"]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := host.ParseState([]byte(text)); err == nil {
				t.Errorf("= %s", got)
			}
		})
	}
}
