package dispatch_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/emulation/probe"
)

const (
	roundsVariable = "DISPATCH_TEST_ROUNDS" // how often [TestCost] measures
	costVariable   = "DISPATCH_TEST_COST"   // where it writes the costs
)

// cost is what executing a program takes; times are in milliseconds, everything
// is a median over the rounds.
type cost struct {
	QEMU, Miss, Bare, Native, Hit float64
	// MissCPU and HitCPU are what Miss and Hit are of the processor's time.
	MissCPU, HitCPU float64
	// MissRatio is Miss to QEMU, BareRatio Bare to QEMU, round by round.
	MissRatio, BareRatio float64
}

// A program that is found costs what a native one does. That the others cost
// what they do without the stub takes more rounds than a test has: BenchmarkExec.
func TestCost(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	rounds := 20
	if text := os.Getenv(roundsVariable); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	got := measure(t, rounds)
	t.Logf("%+v", got)
	if got.HitCPU > got.MissCPU/2 {
		t.Errorf("a hit takes %.2f ms of the processor, a miss %.2f", got.HitCPU, got.MissCPU)
	}
	if path := os.Getenv(costVariable); path != "" {
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, text, 0o644)
	}
}

// BenchmarkExec reports what the stub costs, with programs that do nothing: an
// exec is all of their time.
func BenchmarkExec(b *testing.B) {
	for _, log := range []bool{false, true} {
		b.Run("log="+strconv.FormatBool(log), func(b *testing.B) {
			self, err := os.Executable()
			if err != nil {
				b.Fatal(err)
			}
			file := filepath.Join(b.TempDir(), "cost")
			var got cost
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), self, "-test.run=^TestCost$")
				cmd.Env = append(os.Environ(), roundsVariable+"=300", costVariable+"="+file, logVariable+"="+strconv.FormatBool(log))
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				text, err := os.ReadFile(file)
				if err != nil {
					b.Fatal(err)
				}
				if err := json.Unmarshal(text, &got); err != nil {
					b.Fatal(err)
				}
			}
			for unit, value := range map[string]float64{
				"qemu-ms": got.QEMU, "miss-ms": got.Miss, "native-ms": got.Native, "hit-ms": got.Hit,
				"miss/qemu": got.MissRatio, "bare/qemu": got.BareRatio, "ns/op": 0,
			} {
				b.ReportMetric(value, unit)
			}
		})
	}
}

// logVariable is false for no log.
const logVariable = "DISPATCH_TEST_LOG"

func measure(t *testing.T, rounds int) cost {
	t.Helper()
	arch, path := qemu(t, "arm64")
	native, err := emulation.ParseArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	table := emulationtest.Table(t)
	register(t, table, arch.Handler(injected(t, path)))
	b, bare := newBox(t), newBox(t)
	// QEMU alone, from the same file system. The kernel asks the newest handler first.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, "/qemu", text, 0o755)
	register(t, table, emulation.Handler{
		Name: "plain", Extension: "plain", Interpreter: b.root + "/qemu", Flags: "POCF", Enabled: true,
	})
	for path, id := range map[string]string{"/hit": knownID, "/miss": unknownID, "/miss.plain": unknownID} {
		b.write(t, path, withBuildID(t, arch, id), 0o755)
	}
	b.write(t, tool("hit"), probe.Program(native), 0o755)
	b.write(t, "/native", probe.Program(native), 0o755)
	bare.write(t, "/miss", withBuildID(t, arch, unknownID), 0o755)
	bare.remove(t, dispatch.Dir)
	if os.Getenv(logVariable) == "false" {
		b.remove(t, dispatch.LogPath)
	}
	bare.remove(t, dispatch.LogPath)

	var all []cost
	for range rounds {
		var c cost
		c.QEMU, _ = b.milliseconds(t, "/miss.plain")
		c.Miss, c.MissCPU = b.milliseconds(t, "/miss")
		c.Bare, _ = bare.milliseconds(t, "/miss")
		c.Native, _ = b.milliseconds(t, "/native")
		c.Hit, c.HitCPU = b.milliseconds(t, "/hit")
		c.MissRatio, c.BareRatio = c.Miss/c.QEMU, c.Bare/c.QEMU
		all = append(all, c)
	}
	return cost{
		QEMU: median(all, func(c cost) float64 { return c.QEMU }), Miss: median(all, func(c cost) float64 { return c.Miss }),
		Bare: median(all, func(c cost) float64 { return c.Bare }), Native: median(all, func(c cost) float64 { return c.Native }),
		Hit:       median(all, func(c cost) float64 { return c.Hit }),
		MissCPU:   median(all, func(c cost) float64 { return c.MissCPU }),
		HitCPU:    median(all, func(c cost) float64 { return c.HitCPU }),
		MissRatio: median(all, func(c cost) float64 { return c.MissRatio }),
		BareRatio: median(all, func(c cost) float64 { return c.BareRatio }),
	}
}

// milliseconds executes the program and waits for it. The second result is what it took
// of the processor.
func (b box) milliseconds(t *testing.T, path string) (wall, cpu float64) {
	t.Helper()
	start := time.Now()
	pid, err := syscall.ForkExec(path, []string{"x"}, &syscall.ProcAttr{
		Env: []string{"PATH=/"}, Sys: &syscall.SysProcAttr{Chroot: b.root},
	})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var status syscall.WaitStatus
	var used syscall.Rusage
	if _, err := syscall.Wait4(pid, &status, 0, &used); err != nil {
		t.Fatal(err)
	}
	return float64(time.Since(start)) / float64(time.Millisecond), float64(used.Utime.Nano()+used.Stime.Nano()) / float64(time.Millisecond)
}

func median(all []cost, of func(cost) float64) float64 {
	values := make([]float64, len(all))
	for i, c := range all {
		values[i] = of(c)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
