package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// levels pins what the assembler may use, which the environment of the caller
// must not change: programs for the oldest CPUs that Go runs on.
var levels = []string{
	"GOOS=linux", "GOFLAGS=", "GO386=sse2", "GOAMD64=v1", "GOARM=5", "GOARM64=v8.0",
	"GOMIPS64=softfloat", "GOPPC64=power8", "GORISCV64=rva20u64", "GOEXPERIMENT=",
}

// assemble returns the machine code of the source for the architecture.
func assemble(goarch, sources, includes string) ([]byte, error) {
	object, err := os.CreateTemp("", "probe-*.o")
	if err != nil {
		return nil, err
	}
	defer os.Remove(object.Name())
	if err := object.Close(); err != nil {
		return nil, err
	}
	name := goarch
	if strings.HasPrefix(goarch, "mips64") { // one source for both byte orders
		name = "mips64x"
	}
	listing, err := run(append(levels, "GOARCH="+goarch), "go", "tool", "asm", "-S", "-p", "main",
		"-I", includes, "-I", sources, "-o", object.Name(), filepath.Join(sources, name+".s"))
	if err != nil {
		return nil, err
	}
	return parseListing(listing)
}

// parseListing reads the machine code from what `go tool asm -S` prints: a line
// for the symbol, with its size, one for every instruction, the bytes in
// hexadecimal, 16 to a line, and then relocations, which there must not be.
//
//	program STEXT nosplit asm size=98 args=0xffffffff80000000 …
//		0x0000 00000 (riscv64.s:4)	MOV	(X2), X8
//		0x0000 02 64 24 00 8c 60 63 82 05 04 2e 86 83 46 06 00  .d$..`c......F..
func parseListing(listing []byte) ([]byte, error) {
	var code []byte
	size := -1
	for scan := bufio.NewScanner(bytes.NewReader(listing)); scan.Scan(); {
		line := scan.Text()
		if name, rest, ok := strings.Cut(line, " STEXT "); ok && size < 0 {
			_, after, _ := strings.Cut(rest, " size=")
			if _, err := fmt.Sscanf(after, "%d", &size); err != nil {
				return nil, fmt.Errorf("size of %s: %w", name, err)
			}
			continue
		}
		if !strings.HasPrefix(line, "\t") {
			return nil, fmt.Errorf("a second symbol: %q", line)
		}
		if strings.HasPrefix(line, "\trel ") {
			return nil, fmt.Errorf("the program needs a linker: %q", line)
		}
		digits, ok := hexDump(line)
		if !ok {
			continue
		}
		row, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		code = append(code, row...)
	}
	if size <= 0 || len(code) != size {
		return nil, fmt.Errorf("%d bytes instead of %d", len(code), size)
	}
	if len(code) > 1<<10 {
		return nil, errors.New("the program has grown beyond all purpose")
	}
	return code, nil
}

// hexDump returns the bytes of a line of the dump, without its blanks.
func hexDump(line string) (digits string, ok bool) {
	const offset, columns = len("\t0x0000"), 3 * 16
	if len(line) < offset+columns || line[offset] != ' ' || line[offset+3] != ' ' {
		return "", false // an instruction: its offset is followed by five digits
	}
	return strings.ReplaceAll(line[offset:offset+columns], " ", ""), true
}
