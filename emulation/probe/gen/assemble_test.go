package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const listing = `program STEXT nosplit asm size=18 args=0xffffffff80000000 locals=0x0 funcid=0x0 align=0x0 leaf
	0x0000 00000 (riscv64.s:4)	MOV	(X2), X8
	0x0002 00002 (riscv64.s:5)	WORD	$0
	0x0000 02 64 24 00 8c 60 63 82 05 04 2e 86 83 46 06 00  .d$..` + "`" + `c......F..
	0x0010 05 06                                            ..
`

func TestParseListing(t *testing.T) {
	got, err := parseListing([]byte(listing))
	want := "02642400 8c606382 05042e86 83460600 0506"
	if text := fmt.Sprintf("%x", got); err != nil || text != strings.ReplaceAll(want, " ", "") {
		t.Errorf("= %s, %v, want %s", text, err, want)
	}
	for name, bad := range map[string]string{
		"empty":              "",
		"size missing":       strings.Replace(listing, " size=18", "", 1),
		"bytes missing":      strings.Replace(listing, "size=18", "size=19", 1),
		"relocation":         listing + "\trel 2+4 t=R_CALL runtime.morestack+0\n",
		"second symbol":      listing + "other STEXT size=0\n",
		"not hexadecimal":    strings.Replace(listing, "05 06", "05 zz", 1),
		"of another purpose": strings.Replace(listing, "size=18", "size=2000", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := parseListing([]byte(bad)); err == nil {
				t.Errorf("= %x", got)
			}
		})
	}
}

func FuzzParseListing(f *testing.F) {
	f.Add([]byte(listing))
	f.Fuzz(func(t *testing.T, text []byte) {
		if code, err := parseListing(text); err == nil && (len(code) == 0 || bytes.Contains(text, []byte("\trel "))) {
			t.Errorf("= %x", code)
		}
	})
}
