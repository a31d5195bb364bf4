package main

import (
	"testing"
	"testing/fstest"
)

// The machine has 8 GiB for programs; control groups around the process may have less.
func TestAvailableMemory(t *testing.T) {
	const gib = 1 << 30
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	machine := file("MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n")
	for name, test := range map[string]struct {
		files fstest.MapFS
		want  int64
		known bool
	}{
		"no such kernel":    {fstest.MapFS{}, 0, false},
		"an old kernel":     {fstest.MapFS{"proc/meminfo": file("MemTotal: 16777216 kB\n")}, 0, false},
		"no control groups": {fstest.MapFS{"proc/meminfo": machine}, 8 * gib, true},
		"groups of the first version": {fstest.MapFS{
			"proc/meminfo": machine, "proc/self/cgroup": file("4:memory:/job\n"),
			"sys/fs/cgroup/job/memory.max": file("1\n"),
		}, 8 * gib, true},
		"no limit": {fstest.MapFS{
			"proc/meminfo": machine, "proc/self/cgroup": file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("max\n"), "sys/fs/cgroup/memory.current": file("1\n"),
		}, 8 * gib, true},
		"a limit around the process": {fstest.MapFS{
			"proc/meminfo": machine, "proc/self/cgroup": file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("4294967296\n"), "sys/fs/cgroup/memory.current": file("3221225472\n"),
		}, 1 * gib, true},
		"files that would go": {fstest.MapFS{
			"proc/meminfo": machine, "proc/self/cgroup": file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("4294967296\n"), "sys/fs/cgroup/memory.current": file("4294967296\n"),
			"sys/fs/cgroup/memory.stat": file("anon 1\ninactive_file 2147483648\nactive_file 5\n"),
		}, 2 * gib, true},
		"a limit further out": {fstest.MapFS{
			"proc/meminfo": machine, "proc/self/cgroup": file("0::/jobs/one\n"),
			"sys/fs/cgroup/jobs/one/memory.max": file("max\n"), "sys/fs/cgroup/jobs/one/memory.current": file("1\n"),
			"sys/fs/cgroup/jobs/memory.max": file("2147483648\n"), "sys/fs/cgroup/jobs/memory.current": file("0\n"),
		}, 2 * gib, true},
		"more than it may have": {fstest.MapFS{
			"proc/meminfo": machine, "proc/self/cgroup": file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("1073741824\n"), "sys/fs/cgroup/memory.current": file("2147483648\n"),
		}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, known := availableMemory(test.files); got != test.want || known != test.known {
				t.Errorf("%d, %v, want %d, %v", got, known, test.want, test.known)
			}
		})
	}
}

func TestEmulatedRoom(t *testing.T) {
	for _, test := range []struct {
		available int64
		emulated  int
		want      int
	}{{0, 2, 1}, {0, 1, 0}, {3<<30 - 1, 3, 2}, {3 << 30, 3, 0}, {64 << 30, 5, 0}, {1 << 30, 0, 0}} {
		if got := emulatedRoom(test.available, test.emulated); got != test.want {
			t.Errorf("%d bytes for %d platforms: %d, want %d", test.available, test.emulated, got, test.want)
		}
	}
}
