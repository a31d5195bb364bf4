package rig_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/integration/bench/rig"
)

func TestParseResident(t *testing.T) {
	for _, test := range []struct {
		status string
		want   int64
	}{
		{"Name:\tmabuild\nVmRSS:\t   41008 kB\nRssAnon:\t 1 kB\n", 41008 << 10},
		{"VmRSS: 0 kB", 0},
	} {
		t.Run(test.status, func(t *testing.T) {
			got, err := rig.ParseResident([]byte(test.status))
			if err != nil || got != test.want {
				t.Errorf("ParseResident = %d, %v; want %d", got, err, test.want)
			}
		})
	}
	// A zombie has no memory and no such line.
	for _, status := range []string{"", "State:\tZ (zombie)\n", "VmRSS:\n", "VmRSS: 12 MB\n", "VmRSS: x kB\n", "VmRSS: -1 kB\n"} {
		t.Run("bad "+status, func(t *testing.T) {
			if got, err := rig.ParseResident([]byte(status)); err == nil {
				t.Errorf("no error but %d", got)
			}
		})
	}
}

func TestParseCPU(t *testing.T) {
	const stat = "42 (a) 1 (b)) S 1 42 42 0 -1 4194560 1 2 3 4 100 20 3000 400 20 0 7 0 99\n"
	if got, err := rig.ParseCPU([]byte(stat)); err != nil || got != 35200*time.Millisecond {
		t.Errorf("ParseCPU = %v, %v; want 35.2 s", got, err)
	}
	for _, bad := range []string{"", "42 (a) S 1 42", strings.Replace(stat, "3000", "x", 1), strings.Replace(stat, "3000", "-1", 1)} {
		if got, err := rig.ParseCPU([]byte(bad)); err == nil {
			t.Errorf("no error but %v of %q", got, bad)
		}
	}
}

func FuzzParseCPU(f *testing.F) {
	f.Add([]byte("42 (a) 1 (b)) S 1 42 42 0 -1 4194560 1 2 3 4 100 20 3000 400 20 0 7 0 99\n"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if took, err := rig.ParseCPU(stat); err == nil && took < 0 {
			t.Error(took)
		}
	})
}

func FuzzParseResident(f *testing.F) {
	f.Add([]byte("VmRSS:\t   41008 kB\n"))
	f.Fuzz(func(t *testing.T, status []byte) {
		if bytes, err := rig.ParseResident(status); err == nil && bytes < 0 {
			t.Errorf("%d bytes", bytes)
		}
	})
}

func TestResident(t *testing.T) {
	got, err := rig.Resident(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got < 1<<20 {
		t.Errorf("this process has %d bytes", got)
	}
}

func TestStrippedSize(t *testing.T) {
	with, without := build(t, "measure"), build(t, "stripped", "-ldflags=-s -w")
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	stripped, err := rig.StrippedSize(without)
	if err != nil {
		t.Fatal(err)
	}
	if stripped != size(without) {
		t.Errorf("a stripped program of %d bytes counts as %d", size(without), stripped)
	}
	got, err := rig.StrippedSize(with)
	if err != nil {
		t.Fatal(err)
	}
	// Not equal: section headers and padding stay, and the linker lays the rest out anew.
	if got >= size(with) || got < stripped || got > stripped+stripped/20 {
		t.Errorf("a program of %d bytes counts as %d, and is %d when it is stripped", size(with), got, stripped)
	}

	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.StrippedSize(script); err == nil {
		t.Error("a script has a size")
	}
}
