package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mabuild/mabuild/integration/testbed"
)

// interrupts is how many builds TestInterruptAnyMoment interrupts.
const interrupts = 100

// interruptLoop is what the interrupted builds have in common.
type interruptLoop struct {
	store   *testbed.Registry
	context string
	marker  string // in the command line of every step
	whole   time.Duration
	random  *rand.Rand
	ended   map[int]int     // exit codes
	slowest time.Duration   // of an interrupted build's end
	before  map[string]bool // what the folders of the user had before
}

// interrupted is one build of the loop.
type interrupted struct {
	number  int
	dir     string // of its results, with nothing else in it
	tmp     string
	kept    bool // in the image store, which then is where images are put together
	signals []syscall.Signal
	after   time.Duration
	between time.Duration
	output  string
	code    int
}

// TestInterruptAnyMoment interrupts builds at random moments of their whole length.
// Whatever the moment: no tag or complete ones, no file or a whole one, nothing
// temporary, and no step that goes on. INTERRUPT_SEED repeats a run.
func TestInterruptAnyMoment(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("INTERRUPT_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("INTERRUPT_SEED=%d", seed)
	marker := fmt.Sprintf("interrupted-%d-%d", os.Getpid(), seed)
	l := &interruptLoop{
		store: registry(t, testbed.RegistryOptions{}), marker: marker, ended: map[int]int{},
		random: rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // has to be repeatable
		context: project(t, map[string]string{"Dockerfile": "FROM busybox\nARG NUMBER TARGETARCH\n" +
			"RUN : " + marker + " && for i in 1 2 3 4 5; do sleep 0.03; done && echo $NUMBER > /number && dd if=/dev/urandom of=/big bs=1M count=2\n" +
			"RUN : " + marker + " && sleep 0.05 && echo $TARGETARCH > /arch\n"}),
	}
	for n := range 2 { // the first one pulls the base
		b := &interrupted{number: -1 - n}
		started := time.Now()
		l.run(t, b)
		l.whole = time.Since(started)
		if b.code != 0 {
			t.Fatalf("not interrupted, and exit code %d:\n%s", b.code, b.output)
		}
		l.check(t, b)
	}
	l.before = l.usersFiles(t)
	for n := range interrupts {
		b := l.draw(n)
		l.run(t, b)
		l.check(t, b)
		// What else the machine does changes how long a build takes: about one in ten shall
		// finish.
		if b.code == 0 {
			l.whole -= l.whole / 10
		} else {
			l.whole += l.whole / 50
		}
		if t.Failed() {
			t.Fatalf("build %d: %v after %s of %s (+%s), exit code %d:\n%s", n, b.signals, b.after, l.whole, b.between, b.code, b.output)
		}
	}
	t.Logf("a build takes %s; exit codes %v; the slowest ended %s after its signal", l.whole.Round(time.Millisecond), l.ended, l.slowest)
	if l.ended[0] == interrupts || l.ended[0] == 0 {
		t.Errorf("%d of %d builds finished: the moments were not those of a whole build", l.ended[0], interrupts)
	}
}

// draw says how a build is interrupted: now and then by SIGTERM, now and then twice.
func (l *interruptLoop) draw(n int) *interrupted {
	b := &interrupted{
		number: n, kept: n%4 == 3, signals: []syscall.Signal{syscall.SIGINT},
		after:   time.Duration(l.random.Float64() * 1.1 * float64(l.whole)),
		between: time.Duration(l.random.Float64() * float64(60*time.Millisecond)),
	}
	switch l.random.IntN(5) {
	case 0:
		b.signals = []syscall.Signal{syscall.SIGTERM}
	case 1:
		b.signals = []syscall.Signal{syscall.SIGINT, syscall.SIGINT}
	}
	return b
}

// run builds, and sends the signals.
func (l *interruptLoop) run(t *testing.T, b *interrupted) {
	t.Helper()
	b.dir, b.tmp = t.TempDir(), t.TempDir()
	args := []string{
		"--platform", "linux/amd64,linux/arm64", "--build-arg", fmt.Sprintf("NUMBER=%d", b.number), "--progress=plain", "--push",
		"-t", l.tag(b, "a"), "-t", l.tag(b, "b"), "--metadata-file", filepath.Join(b.dir, "meta.json"), "--iidfile", filepath.Join(b.dir, "iid"),
		"-o", "type=oci,dest=" + filepath.Join(b.dir, "image.tar"), "-o", "type=local,dest=" + filepath.Join(b.dir, "files"),
		"-o", "type=tar,dest=" + filepath.Join(b.dir, "files.tar"),
	}
	if b.kept {
		args = append(args, "-o", "type=image")
	}
	cmd := command(t, append(args, l.context)...)
	cmd.Env = append(cmd.Env, "TMPDIR="+b.tmp)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var signalled time.Time
	sent := make(chan struct{})
	ended, end := context.WithCancel(t.Context())
	go func() {
		defer close(sent)
		for i, signal := range b.signals {
			wait := b.after
			if i > 0 {
				wait = b.between
			}
			select {
			case <-time.After(wait):
			case <-ended.Done():
				return
			}
			if i == 0 {
				signalled = time.Now()
			}
			_ = cmd.Process.Signal(signal) // it may have ended
		}
	}()
	err := cmd.Wait()
	end()
	<-sent
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	b.output, b.code = output.String(), cmd.ProcessState.ExitCode()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		b.code = 128 + int(status.Signal()) // as shells say: it came before mabuild had begun
	}
	if b.number >= 0 {
		l.ended[b.code]++
	}
	if !signalled.IsZero() && b.code != 0 {
		l.slowest = max(l.slowest, time.Since(signalled))
	}
}

func (l *interruptLoop) tag(b *interrupted, name string) string {
	return fmt.Sprintf("%s/interrupted:%s%d", l.store.Addr, name, b.number)
}

// check looks at all that a build may leave.
func (l *interruptLoop) check(t *testing.T, b *interrupted) {
	t.Helper()
	want := []int{0, 130}
	if slices.Contains(b.signals, syscall.SIGTERM) {
		want = []int{0, 143}
	}
	if !slices.Contains(want, b.code) {
		t.Errorf("exit code %d, want one of %v", b.code, want)
	}
	there := []bool{l.checkTag(t, b, "a"), l.checkTag(t, b, "b"), l.checkFiles(t, b)}
	for _, check := range []func(*testing.T, *interrupted) bool{checkArchive, checkTar, checkMetadata} {
		there = append(there, check(t, b))
	}
	if b.code == 0 && slices.Contains(there, false) {
		t.Errorf("exit code 0, and of tag a, tag b, files, archive, tar and metadata there are %v", there)
	}
	if there[0] != there[1] && len(b.signals) == 1 {
		t.Error("one of two tags was written")
	}
	l.checkLeftovers(t, b)
	l.awaitNoStep(t)
}
