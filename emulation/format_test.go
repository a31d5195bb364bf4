package emulation_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation"
)

const (
	arm64Magic = "7f454c460201010000000000000000000200b700"
	arm64Mask  = "ffffffffffffff00fffffffffffffffffeffffff"
	arm64Line  = `:qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:` +
		`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:POCF`
)

// statusTexts are texts of kernels, with the handler that they mean.
var statusTexts = []struct {
	name, text string
	want       emulation.Handler
}{
	{
		"magic and mask", "enabled\ninterpreter /usr/bin/qemu-arm\nflags: POCF\noffset 0\nmagic 7f454c46\nmask ffffff00\n",
		emulation.Handler{
			Enabled: true, Interpreter: "/usr/bin/qemu-arm", Flags: "POCF",
			Magic: []byte("\x7fELF"), Mask: []byte{0xff, 0xff, 0xff, 0},
		},
	},
	{
		"no mask, no flags, offset", "disabled\ninterpreter /bin/true\nflags: \noffset 56\nmagic 6162\n",
		emulation.Handler{Interpreter: "/bin/true", Offset: 56, Magic: []byte("ab")},
	},
	{
		"extension", "enabled\ninterpreter /opt/my wine\nflags: F\nextension .exe\n",
		emulation.Handler{Enabled: true, Interpreter: "/opt/my wine", Flags: "F", Extension: "exe"},
	},
	{
		"extension with a dot", "enabled\ninterpreter /i\nflags: \nextension ..tar.gz\n",
		emulation.Handler{Enabled: true, Interpreter: "/i", Extension: ".tar.gz"},
	},
}

func TestParseHandler(t *testing.T) {
	for _, test := range statusTexts {
		t.Run(test.name, func(t *testing.T) {
			got, err := emulation.ParseHandler("qemu", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			test.want.Name = "qemu"
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ParseHandler (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.text, string(got.Status())); diff != "" {
				t.Errorf("Status (-want +got):\n%s", diff)
			}
		})
	}
}

// Newer kernels have handlers in BPF, flags T and L, and may get more lines.
func TestParseHandlerOfNewerKernel(t *testing.T) {
	for _, test := range []struct {
		text string
		want emulation.Handler
	}{
		{
			"enabled\nbpf my_handler\nbpf-interpreter a /a\nbpf-interpreter b /b\nflags: \n",
			emulation.Handler{Name: "new", Enabled: true},
		},
		{
			"enabled\ninterpreter /i\nflags: OFT\noffset 0\nmagic 61\nfuture thing\n",
			emulation.Handler{Name: "new", Enabled: true, Interpreter: "/i", Flags: "OFT", Magic: []byte("a")},
		},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := emulation.ParseHandler("new", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ParseHandler (-want +got):\n%s", diff)
			}
			if _, err := got.Registration(); !errors.Is(err, emulation.ErrInvalid) {
				t.Errorf("Registration: %v, want ErrInvalid", err)
			}
		})
	}
}

func TestParseHandlerErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     `first line ""`,
		"Enabled\nflags: \n":                   `first line "Enabled"`,
		"enabled\n":                            "no flags line",
		"enabled\nflags: F\nflags: F\n":        "second flags: line",
		"enabled\nflags: p\n":                  "capital letters",
		"enabled\nflags: \nextension exe\n":    "does not begin with a dot",
		"enabled\nflags: \nextension .\n":      "does not begin with a dot",
		"enabled\nflags: \noffset -1\n":        `offset "-1"`,
		"enabled\nflags: \noffset x\n":         `offset "x"`,
		"enabled\nflags: \noffset 7\n":         "offset 7 without a magic",
		"enabled\nflags: \nmagic 6\n":          "not hexadecimal",
		"enabled\nflags: \nmagic \n":           "not hexadecimal",
		"enabled\nflags: \nmagic zz\n":         "not hexadecimal",
		"enabled\nflags: \nmagic 61\nmask x\n": "not hexadecimal",
		"enabled\nflags: \nmagic 61\nmask 6162": "mask has 2 bytes, " +
			"magic 1",
		"enabled\nflags: \nmask 61\n": "mask has 1 bytes, magic 0",
	} {
		t.Run(text, func(t *testing.T) {
			h, err := emulation.ParseHandler("qemu", []byte(text))
			if !errors.Is(err, emulation.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("ParseHandler = %+v, %v, want an error with %q", h, err, want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), `parsing the status of handler "qemu": invalid: `) {
				t.Errorf("message %q", err)
			}
		})
	}
}

// registrations are lines that Registration makes.
var registrations = []struct {
	line string
	want emulation.Handler
}{
	{
		arm64Line,
		emulation.Handler{
			Name: "qemu-aarch64", Interpreter: "/usr/bin/qemu-aarch64-static", Flags: "POCF",
			Magic: []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"),
			Mask:  []byte("\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"),
		},
	},
	{":wine:E::exe::/usr/bin/wine:", emulation.Handler{Name: "wine", Extension: "exe", Interpreter: "/usr/bin/wine"}},
	{":jar:M:2:PK::/usr/bin/jexec:F", emulation.Handler{Name: "jar", Offset: 2, Magic: []byte("PK"), Interpreter: "/usr/bin/jexec", Flags: "F"}},
	{`:x:M::\x3a\x5cx00\x0a::/i:`, emulation.Handler{Name: "x", Magic: []byte(":\\x00\n"), Interpreter: "/i"}},
	{",a:b,M,,abc,,/i,", emulation.Handler{Name: "a:b", Magic: []byte("abc"), Interpreter: "/i"}},
	{";x;M;;abc;;/opt/a,b/c:d;", emulation.Handler{Name: "x", Magic: []byte("abc"), Interpreter: "/opt/a,b/c:d"}},
	{
		":long:M::abc::/" + strings.Repeat("d", 400) + ":F", // the documentation says 127, the kernel does not
		emulation.Handler{Name: "long", Magic: []byte("abc"), Interpreter: "/" + strings.Repeat("d", 400), Flags: "F"},
	},
}

func TestRegistration(t *testing.T) {
	for _, test := range registrations {
		t.Run(test.line, func(t *testing.T) {
			line, err := test.want.Registration()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.line, line); diff != "" {
				t.Errorf("Registration (-want +got):\n%s", diff)
			}
			got, err := emulation.ParseRegistration(test.line + "\n")
			if err != nil {
				t.Fatal(err)
			}
			test.want.Enabled = true // a registered handler is switched on
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ParseRegistration (-want +got):\n%s", diff)
			}
		})
	}
}

// Lines that others write, with the one that we would.
func TestParseRegistration(t *testing.T) {
	for line, want := range map[string]string{
		`:qemu-aarch64:M:0:\x7f\x45\x4c\x46::/q:OPF`: `:qemu-aarch64:M::\x7fELF::/q:POF`,
		":e:E:9:foo:ignored:/i:C":                    ":e:E::foo::/i:OC",
		`:m:M::a\b::/i:PP`:                           `:m:M::a\x5cb::/i:P`,
		"|m|M||a\nb||/i|":                            `:m:M::a\x0ab::/i:`,
		"  m M  abc  /i ":                            "",
		" m M  abc  /i ":                             ":m:M::abc::/i:",
	} {
		t.Run(line, func(t *testing.T) {
			h, err := emulation.ParseRegistration(line)
			if want == "" {
				if err == nil {
					t.Fatalf("ParseRegistration = %+v", h)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := h.Registration(); err != nil || got != want {
				t.Errorf("Registration = %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestParseRegistrationErrors(t *testing.T) {
	for line, want := range map[string]string{
		"":                             "empty or has a NUL",
		"\n":                           "empty or has a NUL",
		":a:M::a\x00b::/i:":            "empty or has a NUL",
		"xaxMxxabcxx/ix":               "cannot be the delimiter",
		`\a\M\\abc\\/i\`:               "cannot be the delimiter",
		":a:M::abc::/i":                "6 fields, not 7",
		":a:M::abc::/i:F:":             "8 fields, not 7",
		":a:B::::name:":                `type "B"`,
		":a:M:x:abc::/i:":              `offset "x"`,
		":a:M:-1:abc::/i:":             `offset "-1"`,
		`:a:M::\xg0::/i:`:              "not two hexadecimal digits",
		`:a:M::abc\x1::/i:`:            "lacks a hexadecimal digit",
		`:a:M::abc:\x1:/i:`:            "lacks a hexadecimal digit",
		":a:M::::/i:":                  "neither a magic nor an extension",
		":a:E::::/i:":                  "neither a magic nor an extension",
		":a:M::abc::i:":                "not an absolute path",
		":a:M::abc::/i:X":              "only POCF",
		":a:M::abc::/i:F\n\n":          "only POCF",
		":" + strings.Repeat("a", 2e3): "the kernel takes 1920",
	} {
		t.Run(line, func(t *testing.T) {
			h, err := emulation.ParseRegistration(line)
			if !errors.Is(err, emulation.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("ParseRegistration = %+v, %v, want an error with %q", h, err, want)
			}
		})
	}
}

func FuzzParseHandler(f *testing.F) {
	for _, test := range statusTexts {
		f.Add([]byte(test.text))
	}
	f.Add([]byte("enabled\ninterpreter /q\nflags: POCF\noffset 0\nmagic " + arm64Magic + "\nmask " + arm64Mask + "\n"))
	f.Add([]byte("enabled\nbpf x\nflags: \nsomething new\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := emulation.ParseHandler("fuzz", text)
		if err != nil {
			if !errors.Is(err, emulation.ErrInvalid) {
				t.Errorf("error %v is not ErrInvalid", err)
			}
			return
		}
		again, err := emulation.ParseHandler("fuzz", h.Status())
		if err != nil {
			t.Fatalf("parsing %q again: %v", h.Status(), err)
		}
		if diff := cmp.Diff(h, again); diff != "" {
			t.Errorf("parsed again (-first +again):\n%s", diff)
		}
	})
}

func FuzzRegistration(f *testing.F) {
	for _, test := range registrations {
		f.Add(test.line)
	}
	f.Add("|m|M||a\nb||/i|")
	f.Fuzz(func(t *testing.T, line string) {
		h, err := emulation.ParseRegistration(line)
		if err != nil {
			if !errors.Is(err, emulation.ErrInvalid) {
				t.Errorf("error %v is not ErrInvalid", err)
			}
			return
		}
		ours, err := h.Registration()
		if err != nil {
			// Unescaped bytes may need more room escaped, and a line may use
			// every delimiter that we would.
			if len(line) < 400 && !strings.Contains(err.Error(), "delimiter") {
				t.Errorf("Registration of %q: %v", line, err)
			}
			return
		}
		again, err := emulation.ParseRegistration(ours)
		if err != nil {
			t.Fatalf("parsing %q again: %v", ours, err)
		}
		if diff := cmp.Diff(h, again); diff != "" {
			t.Errorf("parsed again (-first +again):\n%s", diff)
		}
		if h.Extension == "" {
			status, err := emulation.ParseHandler(h.Name, h.Status())
			if diff := cmp.Diff(h, status); err != nil || diff != "" {
				t.Errorf("status %q: %v (-want +got):\n%s", h.Status(), err, diff)
			}
		}
	})
}
