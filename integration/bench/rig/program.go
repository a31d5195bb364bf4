package rig

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// StrippedSize returns the size in bytes that the program would have without its
// symbol table and debugging information.
func StrippedSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("measuring a program: %w", err)
	}
	file, err := elf.Open(path)
	if err != nil {
		return 0, fmt.Errorf("measuring %q: %w: give an ELF program, not a script", path, err)
	}
	defer file.Close()
	size := info.Size()
	for _, section := range file.Sections {
		symbols := section.Type == elf.SHT_SYMTAB || section.Name == ".strtab"
		if symbols || strings.HasPrefix(section.Name, ".debug_") || strings.HasPrefix(section.Name, ".zdebug_") {
			size -= int64(section.FileSize)
		}
	}
	return size, nil
}

// Resident returns the resident memory of a process in bytes.
func Resident(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	return ParseResident(status)
}

// ParseCPU adds the times in the text of a /proc/PID/stat: those of the process and of
// its children that were waited for, and of theirs.
func ParseCPU(stat []byte) (time.Duration, error) {
	const (
		tick  = time.Second / 100 // USER_HZ, on every architecture that Go has
		first = 14 - 3            // utime is field 14; what is behind the name begins with field 3
	)
	// The name is in parentheses and may have some itself.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < first+4 {
		return 0, errors.New("parsing the times of a process: the text has too few fields")
	}
	var total time.Duration
	for _, field := range fields[first : first+4] { // utime, stime, cutime, cstime
		ticks, err := strconv.ParseUint(field, 10, 40)
		if err != nil {
			return 0, fmt.Errorf("parsing the times of a process: %w", err)
		}
		total += time.Duration(ticks) * tick
	}
	return total, nil
}

// ParseResident finds VmRSS in the text of a /proc/PID/status, in bytes.
func ParseResident(status []byte) (int64, error) {
	for line := range strings.Lines(string(status)) {
		value, found := strings.CutPrefix(line, "VmRSS:")
		if !found {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(value), " ")
		kib, err := strconv.ParseInt(number, 10, 53)
		if err != nil || unit != "kB" || kib < 0 {
			return 0, fmt.Errorf("parsing VmRSS: %q is no number of kB", strings.TrimSpace(value))
		}
		return kib << 10, nil
	}
	return 0, errors.New("parsing VmRSS: the status has none: the process has ended, or the system isn't Linux")
}
