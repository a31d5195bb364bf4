package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/console"

	"github.com/mabuild/mabuild/integration/testbed"
)

const runnable = `FROM busybox
ENV A=image B=image
WORKDIR /srv
RUN mkdir -p /etc && echo root:x:0:0:root:/root:/bin/sh >/etc/passwd && echo bob:x:1234:1234:bob:/home/bob:/bin/sh >>/etc/passwd
RUN printf '\177ELFgarbage' >/bad && chmod +x /bad
USER bob
CMD ["sh", "-c", "uname -m; id -un; pwd; echo $A $B"]
`

// gettingLine is said on a slow machine, before the program runs.
var gettingLine = regexp.MustCompile(`(?m)^Getting \S+ for \S+\r\n`)

// TestRunImage is build → test → push without a registry and without Docker: programs
// of a stored image run on this and on foreign platforms.
func TestRunImage(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": runnable, "data/file": "given\n"})
	archive := filepath.Join(t.TempDir(), "app.tar")
	built := mabuild(t, "--platform", "linux/amd64,linux/arm64,linux/s390x", "-t", "run:1", dir)
	mabuild(t, "--platform", "linux/arm64", "-t", "run:one", dir)
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-o", "type=oci,dest="+archive, dir)
	data := filepath.Join(dir, "data")
	t.Setenv("FROM_HERE", "here")
	for _, test := range []struct {
		name   string
		args   []string
		stdin  string
		code   int
		stdout string
		stderr string
	}{
		{name: "native", args: []string{"run:1"}, stdout: "x86_64\nbob\n/srv\nimage image\n"},
		{name: "arm64", args: []string{"--rm", "--platform", "linux/arm64", "run:1"}, stdout: "aarch64\nbob\n/srv\nimage image\n"},
		{name: "s390x", args: []string{"--platform=linux/s390x", "run:1", "uname", "-m"}, stdout: "s390x\n"},
		{name: "digest", args: []string{"--platform=linux/s390x", strings.TrimSpace(built.stdout), "uname", "-m"}, stdout: "s390x\n"},
		{name: "only platform", args: []string{"run:one", "uname", "-m"}, stdout: "aarch64\n"},
		{name: "registry", args: []string{"--platform=linux/ppc64le", "busybox", "uname", "-m"}, stdout: "ppc64le\n"},
		{name: "archive", args: []string{"--platform=linux/arm64", archive, "uname", "-m"}, stdout: "aarch64\n"},
		{name: "exit code", args: []string{"--platform=linux/arm64", "run:1", "sh", "-c", "echo out; echo err >&2; exit 42"}, code: 42, stdout: "out\n", stderr: "err\n"},
		{name: "standard input", args: []string{"-i", "--platform=linux/arm64", "run:1", "wc", "-c"}, stdin: strings.Repeat("x", 1<<20), stdout: "1048576\n"},
		{name: "no standard input", args: []string{"run:1", "wc", "-c"}, stdin: "unread", stdout: "0\n"},
		{name: "environment", args: []string{"-e", "A=flag", "-e", "FROM_HERE", "-e", "NOT_THERE", "run:1", "sh", "-c", "echo $A $B $FROM_HERE ${NOT_THERE-unset} $HOME"}, stdout: "flag image here unset /home/bob\n"},
		{name: "workdir and user", args: []string{"-w", "/new/dir", "-u", "0:7", "run:1", "sh", "-c", "pwd; id -u; id -g"}, stdout: "/new/dir\n0\n7\n"},
		{name: "entrypoint", args: []string{"--entrypoint", "echo", "run:1", "-n", "x"}, stdout: "x"},
		{name: "entrypoint drops the command", args: []string{"--entrypoint", "", "run:1"}, code: 125, stderr: "mabuild: run:1 says no command and none was given; name the program to run\n"},
		{name: "copies", args: []string{"-v", data + ":/d:ro", "-v", data + "/file:/srv/f:ro", "run:1", "sh", "-c", "cat /d/file /srv/f; ls /d; echo >/d/file"}, code: 1, stdout: "given\ngiven\nfile\n", stderr: "sh: can't create /d/file: Read-only file system\n"},
		{name: "writable volume", args: []string{"-v", data + ":/d", "run:1"}, code: 125, stderr: "mabuild: --volume \"" + data + ":/d\": the program gets a copy, and what it writes would not come back; write " + data + ":/d:ro if it only reads\n"},
		{name: "hostname", args: []string{"--hostname", "tester", "--network=none", "run:1", "sh", "-c", "hostname; ip -o link | wc -l"}, stdout: "tester\n1\n"},
		{name: "unknown platform", args: []string{"--platform", "linux/ppc64le", "run:1"}, code: 125, stderr: "mabuild: run:1 is not made for linux/ppc64le; it has linux/amd64, linux/arm64, linux/s390x\n"},
		{name: "no emulation", args: []string{"--emulation=off", "--platform", "linux/s390x", "run:1"}, code: 125, stderr: "mabuild: programs of linux/s390x can be neither run nor emulated by the BuildKit daemon\nEmulation is off: leave --emulation=off away, or use a node of that platform with --node.\n"},
		{name: "no program", args: []string{"run:1", "nothing"}, code: 127, stderr: "mabuild: starting the program: exec: \"nothing\": executable file not found in $PATH\nLook what the image has, and give the program's path or another one with --entrypoint.\n"},
		{name: "not executable", args: []string{"run:1", "/etc/passwd"}, code: 126, stderr: "mabuild: starting the program: exec: \"/etc/passwd\": permission denied\n"},
		{name: "wrong format", args: []string{"--platform=linux/arm64", "run:1", "/bad"}, code: 126, stderr: "mabuild: starting the program: exec /bad: exec format error\nThe program is not made for linux/arm64, or is a script without #!.\n"},
		{name: "no user", args: []string{"-u", "alice", "run:1"}, code: 125, stderr: "mabuild: running the program: unable to find user alice: no matching entries in passwd file\n"},
		{name: "no image", args: []string{"--source=store", "nothing"}, code: 125, stderr: "mabuild: no such image: nothing\n`mabuild images` lists what is in the image store.\n"},
		{name: "unsupported flag", args: []string{"--read-only", "run:1"}, code: 125, stderr: "mabuild: invalid argument \"true\" for \"--read-only\" flag: it is not supported: BuildKit has no read-only root for a container that is talked to; what is written is gone afterwards\nRun `mabuild run --help` for the flags.\n"},
		{name: "interactive without a terminal", args: []string{"-it", "run:1"}, code: 125, stderr: "mabuild: -t with -i needs a terminal on standard input; leave -t away\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := command(t, append([]string{"run"}, test.args...)...)
			cmd.Stdin = strings.NewReader(test.stdin)
			got := finish(t, cmd)
			got.stderr = gettingLine.ReplaceAllString(got.stderr, "")
			if want := (result{test.stdout, test.stderr, test.code}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// started begins a run and returns when the program has written a line.
func started(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%v ended without writing: %v, %v", cmd.Args, err, cmd.Wait())
	}
}

// TestRunImageSignals: a program gets signals, has some time to end, and never outlives
// the run.
func TestRunImageSignals(t *testing.T) {
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", "run:signals", project(t, map[string]string{"Dockerfile": runnable}))
	const stubborn = "trap : TERM INT; echo up; sleep 600 & wait; wait; while :; do sleep 600; done"
	for _, test := range []struct {
		name    string
		args    []string
		script  string
		signals []os.Signal
		code    int
	}{
		{"handled", nil, "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done", []os.Signal{syscall.SIGTERM}, 7},
		{"handled under QEMU", []string{"--platform=linux/arm64"}, "trap 'exit 8' INT; echo up; while :; do sleep 0.1; done", []os.Signal{os.Interrupt}, 8},
		{"other signal", nil, "trap 'exit 9' USR1; echo up; while :; do sleep 0.1; done", []os.Signal{syscall.SIGUSR1}, 9},
		{"not handled", []string{"--stop-timeout=1"}, "echo up; exec sleep 600", []os.Signal{syscall.SIGTERM}, 137},
		{"ignored under QEMU", []string{"--stop-timeout=1", "--platform=linux/arm64"}, stubborn, []os.Signal{os.Interrupt}, 137},
		{"twice", []string{"--stop-timeout=600"}, stubborn, []os.Signal{os.Interrupt, os.Interrupt}, 137},
		{"killed", nil, "echo up; exec sleep 600", []os.Signal{syscall.SIGKILL}, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := command(t, append(append([]string{"run"}, test.args...), "run:signals", "sh", "-c", test.script)...)
			started(t, cmd)
			for i, s := range test.signals {
				if i > 0 { // two signals at once are one
					time.Sleep(time.Second)
				}
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			awaitNoSleep(t)
		})
	}
}

// TestRunImageEngineKilled: the loss of the engine ends the run as what it is.
func TestRunImageEngineKilled(t *testing.T) {
	dir := shortDir(t)
	cmd := own(t, dir, command(t, "run", "busybox", "sh", "-c", "echo up; exec sleep 600"))
	t.Cleanup(func() { stopEngine(t, cmd.Env) })
	var message strings.Builder
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &message
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(enginePID(t, cmd.Env), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 125 || !strings.Contains(message.String(), "lost the BuildKit daemon, and the program with it") {
		t.Errorf("exit code %d\n%s", code, message.String())
	}
	awaitNoSleep(t)
}

// TestRunImageTerminal: -it hands the terminal over, with its size, and gives it back.
func TestRunImageTerminal(t *testing.T) {
	master, name, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := master.Resize(console.WinSize{Width: 101, Height: 31}); err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	cmd := command(t, "run", "-it", "--platform=linux/arm64", "busybox", "sh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ keys, want string }{
		{"", "# "},
		{"until stty size | grep 101; do :; done\n", "\n31 101"},
		{"tty; sleep 600\n", "/dev/pts/"},
		{"\x03", "# "},
		{"exit 5\n", "exit"},
	} {
		if _, err := master.Write([]byte(step.keys)); err != nil {
			t.Fatal(err)
		}
		var seen strings.Builder
		buffer := make([]byte, 4096)
		for !strings.Contains(seen.String(), step.want) {
			n, err := master.Read(buffer)
			if err != nil {
				t.Fatalf("after %q: %v; seen %q", step.keys, err, seen.String())
			}
			seen.Write(buffer[:n])
		}
		if strings.Contains(step.keys, "sleep 600") {
			awaitProcess(t, sleepProcess, true) // before that, Ctrl-C is the shell's
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	awaitNoSleep(t)
}

// TestRunImageOnNode: a daemon of --node gets a stored image through the session.
func TestRunImageOnNode(t *testing.T) {
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", "run:node", archProjectWithShell(t))
	dir := shortDir(t)
	other := own(t, dir, command(t, "run", "busybox", "true"))
	t.Cleanup(func() { stopEngine(t, other.Env) })
	if res := finish(t, other); res.code != 0 {
		t.Fatal(res.stderr)
	}
	address := "unix://" + filepath.Join(dir, "state", "engine.sock")
	for _, image := range []string{"run:node", "busybox"} {
		res := mabuild(t, "run", "--node", address, image, "uname", "-m")
		if res.stdout != "x86_64\n" {
			t.Errorf("%s: got %q", image, res.stdout)
		}
	}
	store := registry(t, testbed.RegistryOptions{})
	fails(t, command(t, "run", "--node", address, store.Addr+"/nothing:1"), 125, "nothing:1", "not found")
	fails(t, command(t, "run", "--node", "unix:///nonexistent.sock", "run:node"), 125, "unix:///nonexistent.sock")
}

// archProjectWithShell has a layer that only the image store has.
func archProjectWithShell(t *testing.T) string {
	t.Helper()
	return project(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY new /\n", "new": t.Name()})
}
