package dispatch_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// executable is the smallest file that the stub can be put into: two segments, of
// which the second has memory behind its bytes, and notes.
func executable() []byte {
	file := make([]byte, 0x2100)
	copy(file, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(file[16:], uint16(elf.ET_DYN))
	le.PutUint16(file[18:], uint16(elf.EM_X86_64))
	le.PutUint32(file[20:], 1)
	le.PutUint64(file[24:], 0x200) // entry
	le.PutUint64(file[32:], 64)
	le.PutUint16(file[52:], 64)
	le.PutUint16(file[54:], 56)
	le.PutUint16(file[56:], 3)
	header := func(i int, kind elf.ProgType, flags elf.ProgFlag, offset, address, size, memory uint64) {
		h := file[64+56*i:]
		le.PutUint32(h, uint32(kind))
		le.PutUint32(h[4:], uint32(flags))
		for i, field := range []uint64{offset, address, address, size, memory, 0x1000} {
			le.PutUint64(h[8+8*i:], field)
		}
	}
	header(0, elf.PT_LOAD, elf.PF_R|elf.PF_X, 0, 0, 0x1000, 0x1000)
	header(1, elf.PT_LOAD, elf.PF_R|elf.PF_W, 0x1000, 0x1000, 0x1100, 0x3456)
	header(2, elf.PT_NOTE, elf.PF_R, 0x120, 0x120, 0x20, 0x20)
	return file
}

func TestInject(t *testing.T) {
	file := executable()
	before := bytes.Clone(file)
	out, err := dispatch.Inject(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, file) {
		t.Error("Inject has changed its argument")
	}
	if dispatch.Injected(file) || !dispatch.Injected(out) {
		t.Errorf("Injected: %v before, %v after", dispatch.Injected(file), dispatch.Injected(out))
	}
	parsed, err := elf.NewFile(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	stub := parsed.Progs[2]
	if stub.Type != elf.PT_LOAD || stub.Flags != elf.PF_R|elf.PF_X || stub.Vaddr < 0x4456+0x1000 ||
		stub.Vaddr%0x1000 != stub.Off%0x1000 || stub.Off < uint64(len(file)) || stub.Off+stub.Filesz != uint64(len(out)) {
		t.Errorf("the stub's segment: %+v in a file of %#x bytes", stub.ProgHeader, len(out))
	}
	if parsed.Entry < stub.Vaddr || parsed.Entry >= stub.Vaddr+stub.Filesz {
		t.Errorf("entry %#x is not in the stub", parsed.Entry)
	}
	// Nothing else is different.
	copy(out[24:32], file[24:32])
	copy(out[64+2*56:64+3*56], file[64+2*56:])
	if !bytes.Equal(out[:len(file)], file) {
		t.Error("Inject has changed more than the entry and one program header")
	}
}

func TestInjectRefused(t *testing.T) {
	file := executable()
	injected, err := dispatch.Inject(file)
	if err != nil {
		t.Fatal(err)
	}
	huge := bytes.Repeat([]byte{0xff}, 8)
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":            {nil, "not an ELF file"},
		"a script":           {[]byte("#!/bin/sh\n" + strings.Repeat("#", 100)), "not an ELF file"},
		"an ELF header cut":  {file[:63], "not an ELF file"},
		"32 bits":            {edit(file, 4, 1), "not a program for amd64"},
		"big endian":         {edit(file, 5, 2), "not a program for amd64"},
		"arm64":              {edit(file, 18, 183), "not a program for amd64"},
		"fixed address":      {edit(file, 16, 2), "not position-independent"},
		"a relocatable file": {edit(file, 16, 1), "not position-independent"},
		"headers behind":     {edit(file, 32, 0, 0x21), "headers are not in the file"},
		"headers far away":   {edit(file, 32, huge...), "headers are not in the file"},
		"many headers":       {edit(file, 56, 0xff, 0xff), "headers are not in the file"},
		"headers of 32 bits": {edit(file, 54, 32), "headers are not in the file"},
		"half of the file":   {file[:len(file)/2], "cut off"},
		"offset":             {edit(file, 64+8, huge...), "cut off"},
		"size in the file":   {edit(file, 64+32, huge...), "cut off"},
		"less memory":        {edit(file, 64+40, 1, 0), "no kernel loads"},
		"much memory":        {edit(file, 64+56+40, huge...), "no kernel loads"},
		"address":            {edit(file, 64+16, huge...), "no kernel loads"},
		"overlap":            {edit(file, 64+56+16, 0, 0), "overlap"},
		"dynamic":            {edit(file, 64+2*56, 3), "dynamically linked"},
		"no notes":           {edit(file, 64+2*56, 6), "no notes"},
		"notes first":        {edit(edit(file, 64+2*56, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80), 64+56, 4), "before those of other"},
		"no segments":        {edit(edit(file, 64, 6), 64+56, 6), "no segment"},
		"entry in variables": {edit(file, 24, 0, 0x10), "entry is not in its code"},
		"entry far away":     {edit(file, 24, huge...), "entry is not in its code"},
		"twice":              {injected, "a dispatcher already"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := dispatch.Inject(test.file)
			var refused *dispatch.RefusedError
			if !errors.As(err, &refused) || out != nil {
				t.Fatalf("Inject: %d bytes, %v", len(out), err)
			}
			if !strings.Contains(refused.Reason, test.want) || !strings.Contains(err.Error(), "; install a qemu-user-static") {
				t.Errorf("error %q does not say %q, and what to do", err, test.want)
			}
			if got := dispatch.Injected(test.file); got != (name == "twice") {
				t.Errorf("Injected = %v", got)
			}
		})
	}
}

// Any file is refused or becomes one that is refused the next time.
func FuzzInject(f *testing.F) {
	file := executable()
	f.Add(file)
	injected, err := dispatch.Inject(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(injected)
	f.Add(file[:200])
	f.Fuzz(func(t *testing.T, file []byte) {
		before := bytes.Clone(file)
		out, err := dispatch.Inject(file)
		if !bytes.Equal(before, file) {
			t.Error("Inject has changed its argument")
		}
		var refused *dispatch.RefusedError
		switch {
		case err == nil && !dispatch.Injected(out):
			t.Error("Injected does not see the stub")
		case err == nil && dispatch.Injected(file):
			t.Error("the stub is in it twice")
		case err != nil && !errors.As(err, &refused):
			t.Errorf("error of type %T", err)
		}
	})
}
