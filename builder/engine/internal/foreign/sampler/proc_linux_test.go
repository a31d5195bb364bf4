package sampler

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " 29740 29735 13024 0 -1 4194304 3610 0 4 0 29 1 0 0 20 0 5 0 3429984 1767886848 5561 18446744073709551615 1"
	tests := map[string]process{
		"29746 (probe) R" + tail: {pid: 29746, parent: 29740, comm: "probe", running: true, ticks: 30, started: 3429984},
		"7 (a) b (c) S" + tail:   {pid: 7, parent: 29740, comm: "a) b (c", ticks: 30, started: 3429984},
		"7 (new\nline) D" + tail: {pid: 7, parent: 29740, comm: "new\nline", ticks: 30, started: 3429984},
		"7 () Z" + tail + "\n":   {pid: 7, parent: 29740, ticks: 30, started: 3429984},
	}
	for text, want := range tests {
		if got, err := parseStat([]byte(text)); got != want || err != nil {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "7", "7 (a", "7 (a)", "7 (a) R", "x (a) R" + tail, "(a) R" + tail, "7 )a( R" + tail, "7 (a) RR" + tail,
		"7 (a) R -1" + tail[6:], "7 (a) R 1 2 3 4 5 6 7 8 9 10 x 1", "7 (a) R" + tail[:40],
	} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q is no stat, got %+v", text, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("7 (a) b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseStat(text)
		if err != nil {
			return
		}
		// What was understood means the same when it is written down again.
		state := "S"
		if p.running {
			state = "R"
		}
		again := fmt.Sprintf("%d (%s) %s %d 0 0 0 0 0 0 0 0 0 %d 0 0 0 0 0 0 0 %d", p.pid, p.comm, state, p.parent, p.ticks, p.started)
		if got, err := parseStat([]byte(again)); err != nil || got != p {
			t.Errorf("%q and %q: %+v, %+v, %v", text, again, p, got, err)
		}
	})
}

func TestGuestPath(t *testing.T) {
	for cmdline, want := range map[string]string{
		"/usr/bin/qemu-aarch64-static\x00/usr/bin/cc1\x00cc1\x00-quiet\x00": "/usr/bin/cc1",
		"/usr/bin/qemu-aarch64-static\x00/usr/bin/cc1\x00":                  "/usr/bin/cc1",
		"/usr/bin/qemu-aarch64-static\x00/usr/bin/cc":                       "",
		"/usr/bin/qemu-aarch64-static\x00":                                  "",
		"":                                                                  "",
	} {
		if got := guestPath([]byte(cmdline)); got != want {
			t.Errorf("%q: got %q, want %q", cmdline, got, want)
		}
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]float64{
		"100 300 5\n": 0.25, "100 0 5\n": 1, "0 300 5\n": 1, "": 1, "x y z": 1, "5": 1,
	} {
		if got := parseShare([]byte(text)); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestNextInterval(t *testing.T) {
	for _, test := range []struct {
		interval, cost, want time.Duration
	}{
		{minInterval, 0, minInterval},
		{minInterval, 400 * time.Microsecond, minInterval},
		{minInterval, 800 * time.Microsecond, 50 * time.Millisecond},
		{100 * time.Millisecond, time.Millisecond, 100 * time.Millisecond},
		{maxInterval, time.Second, maxInterval},
	} {
		if got := nextInterval(test.interval, test.cost); got != test.want {
			t.Errorf("%v after %v: got %v, want %v", test.interval, test.cost, got, test.want)
		}
	}
	// In the end a look takes a hundredth.
	interval := minInterval
	for range 50 {
		interval = nextInterval(interval, 2*time.Millisecond)
	}
	if interval < 195*time.Millisecond || interval > 200*time.Millisecond {
		t.Errorf("looks of 2 ms are %v apart", interval)
	}
}
