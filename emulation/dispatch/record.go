package dispatch

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says how a program was executed: natively, or why by QEMU.
type Kind string

// The kinds. All but [Native] mean that QEMU ran the program.
const (
	// Native is a program whose tool was executed in its place.
	Native Kind = "native"
	// Unknown is a program that no toolbox has a tool for.
	Unknown Kind = "unknown"
	// NoBuildID is a program without a GNU build-id.
	NoBuildID Kind = "no-build-id"
	// Environment is a variable that changes how programs are loaded or run.
	Environment Kind = "environment"
	// Locale is one whose character set the tool may not have.
	Locale Kind = "locale"
	// Secure is a program with more rights than who executed it: set-user-ID,
	// set-group-ID or capabilities.
	Secure Kind = "secure"
	// Closure is a root file system with other libraries than the tool has.
	Closure Kind = "closure"
	// Preload is a root file system with an /etc/ld.so.preload.
	Preload Kind = "preload"
	// Plugin is an argument that makes the program load foreign code.
	Plugin Kind = "plugin"
	// Arguments are such that the tool would not do the same, by its rules.
	Arguments Kind = "arguments"
	// ExecFailed is a tool that the kernel did not execute.
	ExecFailed Kind = "exec-failed"
)

// letters are what the stub writes for the kinds.
const letters = "NUIELSCPGAF"

// Kinds returns all kinds, [Native] first.
func Kinds() []Kind {
	return []Kind{Native, Unknown, NoBuildID, Environment, Locale, Secure, Closure, Preload, Plugin, Arguments, ExecFailed}
}

// Record is what the stub writes about one exec. Every process of the step can
// write to the log: nothing in a record is to be trusted.
type Record struct {
	Kind Kind
	// BuildID is in lower-case hexadecimal; empty if the program has none.
	BuildID string
	// Path is what was executed, as far as [Record] has room: the last 64 bytes.
	Path string
	// PID and PPID are those of the step's own PID namespace.
	PID, PPID int
	// Time is the time since boot (CLOCK_MONOTONIC), CPU the time that the
	// process had used when it executed the program.
	Time, CPU time.Duration
}

// The layout of a record, little endian; stub.c has the same as struct record.
const (
	recordSize  = 128
	recordMagic = "MBX1"

	recordKind   = 4
	recordIDSize = 5
	recordPID    = 8
	recordPPID   = 12
	recordTime   = 16
	recordCPU    = 24
	recordID     = 32
	recordPath   = 64
)

// Log is the records of a step.
type Log struct {
	Records []Record
	// Garbage is how many bytes are no records: somebody else wrote them.
	Garbage int64
	// Cut is set if the log goes on behind the limit.
	Cut bool
}

// ReadRecords reads the log of a step, up to limit bytes. A log with anything in
// it is no error, errors are those of reading.
func ReadRecords(log io.Reader, limit int64) (Log, error) {
	data, err := io.ReadAll(io.LimitReader(log, limit+1))
	if err != nil {
		return Log{}, err
	}
	var l Log
	if int64(len(data)) > limit {
		data, l.Cut = data[:limit], true
	}
	for len(data) > 0 {
		if record, ok := parseRecord(data); ok {
			l.Records = append(l.Records, record)
			data = data[recordSize:]
			continue
		}
		// Somebody's bytes need not have a record's length: go on at the next magic.
		next := bytes.Index(data[1:], []byte(recordMagic)) + 1
		if next == 0 {
			next = len(data)
		}
		l.Garbage += int64(next)
		data = data[next:]
	}
	return l, nil
}

func parseRecord(data []byte) (r Record, ok bool) {
	if len(data) < recordSize || !bytes.HasPrefix(data, []byte(recordMagic)) {
		return r, false
	}
	kind, idSize := strings.IndexByte(letters, data[recordKind]), int(data[recordIDSize])
	if kind < 0 || idSize > recordPath-recordID {
		return r, false
	}
	path, _, _ := bytes.Cut(data[recordPath:recordSize], []byte{0})
	return Record{
		Kind:    Kinds()[kind],
		BuildID: hex.EncodeToString(data[recordID : recordID+idSize]),
		Path:    printable(path),
		PID:     int(binary.LittleEndian.Uint32(data[recordPID:])),
		PPID:    int(binary.LittleEndian.Uint32(data[recordPPID:])),
		Time:    time.Duration(binary.LittleEndian.Uint64(data[recordTime:])),
		CPU:     time.Duration(binary.LittleEndian.Uint64(data[recordCPU:])),
	}, true
}

// printable replaces what would change a terminal. A path that was cut may begin
// in the middle of a character.
func printable(path []byte) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, string(path))
}

// Execs counts the records by path, build-id and kind, most first. A tool that
// was not executed counts once, as [ExecFailed]: the stub writes [Native] before
// it tries.
func (l Log) Execs() []Exec {
	counts := make(map[Exec]int)
	tried := make(map[int]Record) // by process
	for _, r := range l.Records {
		last, ok := tried[r.PID]
		delete(tried, r.PID)
		switch {
		case r.Kind == Native:
			tried[r.PID] = r
		case r.Kind == ExecFailed && ok && last.Path == r.Path && last.BuildID == r.BuildID:
			counts[Exec{Path: r.Path, BuildID: r.BuildID, Kind: Native}]--
		}
		counts[Exec{Path: r.Path, BuildID: r.BuildID, Kind: r.Kind}]++
	}
	execs := make([]Exec, 0, len(counts))
	for exec, count := range counts {
		if exec.Count = count; count > 0 {
			execs = append(execs, exec)
		}
	}
	slices.SortFunc(execs, func(a, b Exec) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.BuildID, b.BuildID), cmp.Compare(a.Kind, b.Kind))
	})
	return execs
}
