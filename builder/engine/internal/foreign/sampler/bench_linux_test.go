package sampler

import (
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// BenchmarkLook is one look of the sampler at the processes that the machine has, of
// which the test has three.
func BenchmarkLook(b *testing.B) {
	cmd := exec.CommandContext(b.Context(), "sh", "-c", "while :; do :; done & exec sleep 1000 container-of-benchmark")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	s := New(nil)
	w := s.Start("container-of-benchmark", true, func() error { return nil })
	defer func() { _ = s.Stop(w) }()
	proc := newProcfs("/proc")
	list, err := proc.processes()
	if err != nil {
		b.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	for b.Loop() {
		s.lookAt(proc, time.Millisecond)
	}
	b.ReportMetric(float64(threadTime()-before)/float64(b.N)/float64(len(list)), "ns/process")
	b.ReportMetric(float64(len(list)), "processes")
}
