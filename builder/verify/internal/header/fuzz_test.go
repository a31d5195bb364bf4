package header_test

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
)

// FuzzRead compares with debug/elf, which reads the whole file.
func FuzzRead(f *testing.F) {
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		f.Add(self[:8<<10], false)
	}
	f.Add(armFile(10, 0x5000400), false)
	f.Add(armFile(6, 0x5000200), true)
	f.Add([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x3e\x00"), false)
	f.Add([]byte("\x7fELF\x01\x02\x01"+strings.Repeat("\x00\xff", 200)), true)
	f.Fuzz(func(t *testing.T, body []byte, shallow bool) {
		prefix := body[:min(len(body), header.Prefix)]
		if !header.Is(prefix) {
			return
		}
		var rest io.Reader
		if !shallow {
			rest = bytes.NewReader(body[len(prefix):])
		}
		h, err := header.Read(prefix, rest, int64(len(body)))
		if err != nil {
			t.Fatalf("reading from memory: %v", err)
		}
		want, err := elf.NewFile(bytes.NewReader(body))
		if err != nil {
			return
		}
		if h.Machine != want.Machine || h.Class != want.Class || h.Data != want.Data {
			t.Errorf("%+v, debug/elf says %v", h, want.FileHeader)
		}
		for _, p := range want.Progs {
			if p.Type != elf.PT_INTERP {
				continue
			}
			if name, err := io.ReadAll(io.LimitReader(p.Open(), 512)); err == nil && h.Interp != "" && !h.Damaged {
				if name, _, _ := bytes.Cut(name, []byte{0}); string(name) != h.Interp {
					t.Errorf("interpreter %q, debug/elf says %q", h.Interp, name)
				}
			}
			break
		}
	})
}
