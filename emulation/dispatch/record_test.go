package dispatch_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// encode is what the stub writes; that it does is tested with the stub itself.
func encode(letter byte, id, path string, pid uint32) []byte {
	record := make([]byte, 128)
	copy(record, "MBX1")
	record[4], record[5] = letter, byte(len(id))
	binary.LittleEndian.PutUint32(record[8:], pid)
	binary.LittleEndian.PutUint32(record[12:], 1)
	binary.LittleEndian.PutUint64(record[16:], uint64(time.Minute))
	binary.LittleEndian.PutUint64(record[24:], uint64(time.Millisecond))
	copy(record[32:64], id)
	copy(record[64:], path)
	return record
}

func record(kind dispatch.Kind, id, path string, pid int) dispatch.Record {
	return dispatch.Record{
		Kind: kind, BuildID: id, Path: path, PID: pid, PPID: 1, Time: time.Minute, CPU: time.Millisecond,
	}
}

// A log is written by whoever likes to: every one is read as far as it goes.
func TestReadRecords(t *testing.T) {
	one, two := encode('N', "\x00\xab", "/bin/one", 7), encode('U', "", "/bin/two", 8)
	first, second := record(dispatch.Native, "00ab", "/bin/one", 7), record(dispatch.Unknown, "", "/bin/two", 8)
	const all = 1 << 20
	long := strings.Repeat("p", 64)
	for name, test := range map[string]struct {
		log   []byte
		limit int64
		want  dispatch.Log
	}{
		"empty":         {nil, all, dispatch.Log{}},
		"one":           {one, all, dispatch.Log{Records: []dispatch.Record{first}}},
		"two":           {join(one, two), all, dispatch.Log{Records: []dispatch.Record{first, second}}},
		"exact limit":   {one, 128, dispatch.Log{Records: []dispatch.Record{first}}},
		"limit":         {join(one, two), 128, dispatch.Log{Records: []dispatch.Record{first}, Cut: true}},
		"inside limit":  {join(one, two), 200, dispatch.Log{Records: []dispatch.Record{first}, Garbage: 72, Cut: true}},
		"limit zero":    {one, 0, dispatch.Log{Cut: true}},
		"cut off":       {one[:127], all, dispatch.Log{Garbage: 127}},
		"line between":  {join(one, []byte("hello\n"), two), all, dispatch.Log{Records: []dispatch.Record{first, second}, Garbage: 6}},
		"magic between": {join([]byte("MBX1MBX1"), two), all, dispatch.Log{Records: []dispatch.Record{second}, Garbage: 8}},
		"unknown kind":  {encode('?', "", "/bin/one", 7), all, dispatch.Log{Garbage: 128}},
		"long id":       {edit(one, 5, 33), all, dispatch.Log{Garbage: 128}},
		"zeros":         {make([]byte, 4096), all, dispatch.Log{Garbage: 4096}},
		"full path":     {encode('N', "", long, 7), all, dispatch.Log{Records: []dispatch.Record{record(dispatch.Native, "", long, 7)}}},
		"terminal": {encode('N', "", "/\x1b[31m\n\xff\u0085/ö", 7), all, dispatch.Log{Records: []dispatch.Record{
			record(dispatch.Native, "", "/?[31m???/ö", 7),
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := dispatch.ReadRecords(bytes.NewReader(test.log), test.limit)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("ReadRecords: %v (-want +got):\n%s", err, diff)
			}
		})
	}
	broken := errors.New("broken")
	if _, err := dispatch.ReadRecords(iotest.ErrReader(broken), all); !errors.Is(err, broken) {
		t.Errorf("ReadRecords of what cannot be read: %v", err)
	}
}

func TestKinds(t *testing.T) {
	var log []byte
	for _, letter := range []byte("NUIELSCPGAF") {
		log = append(log, encode(letter, "", "/bin/"+string(letter), 1)...)
	}
	got, err := dispatch.ReadRecords(bytes.NewReader(log), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	kinds := dispatch.Kinds()
	if len(got.Records) != len(kinds) {
		t.Fatalf("%d records for %d kinds", len(got.Records), len(kinds))
	}
	for i, r := range got.Records {
		if r.Kind != kinds[i] {
			t.Errorf("%s is %s, want %s", r.Path, r.Kind, kinds[i])
		}
	}
}

func TestCount(t *testing.T) {
	log := dispatch.Log{Cut: true, Records: []dispatch.Record{
		record(dispatch.Native, "aa", "/bin/cc", 1),
		record(dispatch.Native, "aa", "/bin/cc", 2),
		record(dispatch.Unknown, "bb", "/bin/sh", 3),
		record(dispatch.Native, "aa", "/bin/ld", 4),
		record(dispatch.ExecFailed, "aa", "/bin/ld", 4), // the same exec
		record(dispatch.Native, "aa", "/bin/cc", 5),
		record(dispatch.ExecFailed, "aa", "/bin/as", 5), // another one
		record(dispatch.Unknown, "bb", "/bin/sh", 6),
		record(dispatch.ExecFailed, "aa", "/bin/cc", 6), // forged: nothing was tried
	}}
	var got dispatch.Step
	got.Count(log)
	want := dispatch.Step{
		Execs: []dispatch.Exec{
			{Path: "/bin/cc", BuildID: "aa", Kind: dispatch.Native, Count: 3},
			{Path: "/bin/sh", BuildID: "bb", Kind: dispatch.Unknown, Count: 2},
			{Path: "/bin/as", BuildID: "aa", Kind: dispatch.ExecFailed, Count: 1},
			{Path: "/bin/cc", BuildID: "aa", Kind: dispatch.ExecFailed, Count: 1},
			{Path: "/bin/ld", BuildID: "aa", Kind: dispatch.ExecFailed, Count: 1},
		},
		Hits:    3,
		Misses:  map[dispatch.Kind]int{dispatch.Unknown: 2, dispatch.ExecFailed: 3},
		Partial: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Count (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var back dispatch.Step
	if err := json.Unmarshal(text, &back); err != nil || cmp.Diff(got, back) != "" {
		t.Errorf("read back from %s: %v\n%s", text, err, cmp.Diff(got, back))
	}
	got.Count(dispatch.Log{})
	if got.Hits != 0 || got.Misses != nil || len(got.Execs) != 0 || got.Partial {
		t.Errorf("counting again does not begin from nothing: %+v", got)
	}
}

func TestShorten(t *testing.T) {
	step := dispatch.Step{
		Wall: 7.0006999,
		CPU: []dispatch.CPU{
			{Name: "a", Seconds: 1}, {Name: "b", Emulated: true, Seconds: 4.00049}, {Name: "c", Emulated: true, Seconds: 0.5}, {Name: "d", Seconds: 3.1000000000000005},
		},
		Execs: []dispatch.Exec{
			{Path: "a", Kind: dispatch.Native, Count: 1},
			{Path: "b", Kind: dispatch.Unknown, Count: 9},
			{Path: "c", Kind: dispatch.Native, Count: 2},
			{Path: "d", Kind: dispatch.Locale, Count: 3},
		},
	}
	whole := step
	whole.Shorten(4)
	if len(whole.CPU) != 4 || len(whole.Execs) != 4 || whole.CPU[0].Name != "b" || whole.Execs[0].Path != "b" {
		t.Errorf("what is short enough is sorted only: %+v", whole)
	}
	step.Shorten(1)
	want := dispatch.Step{
		Wall: 7.001,
		CPU:  []dispatch.CPU{{Name: "b", Emulated: true, Seconds: 4}, {Emulated: true, Seconds: 0.5}, {Seconds: 4.1}},
		Execs: []dispatch.Exec{
			{Path: "b", Kind: dispatch.Unknown, Count: 9}, {Kind: dispatch.Native, Count: 3}, {Kind: dispatch.Locale, Count: 3},
		},
	}
	if diff := cmp.Diff(want, step); diff != "" {
		t.Errorf("Shorten (-want +got):\n%s", diff)
	}
}

func FuzzReadRecords(f *testing.F) {
	f.Add(join(encode('N', "\x01", "/bin/sh", 3), []byte("MBX1"), encode('F', "", "", 3)), 1000)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		log, err := dispatch.ReadRecords(bytes.NewReader(data), int64(max(0, limit)))
		if err != nil {
			t.Fatal(err)
		}
		read := min(len(data), max(0, limit))
		if got := len(log.Records)*128 + int(log.Garbage); got != read || log.Cut != (read < len(data)) {
			t.Errorf("%d bytes of %d are accounted for, cut %v", got, read, log.Cut)
		}
		total := 0
		for _, exec := range log.Execs() {
			total += exec.Count
		}
		if total > len(log.Records) {
			t.Errorf("%d execs from %d records", total, len(log.Records))
		}
	})
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// edit returns a copy with bytes changed from a position on.
func edit(data []byte, at int, bytes ...byte) []byte {
	data = append([]byte(nil), data...)
	copy(data[at:], bytes)
	return data
}
