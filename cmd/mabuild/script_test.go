package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mabuild": main})
}

// TestScripts runs what needs no engine: the command line itself.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("MABUILD_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs mabuild and compares its exit code: exits CODE ARG…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARG…")
	}
	ts.Check(os.WriteFile(ts.MkAbs("exits.sh"), []byte("mabuild \"$@\"\necho code=$?\n"), 0o600))
	ts.Check(ts.Exec("sh", append([]string{ts.MkAbs("exits.sh")}, args[1:]...)...))
	if got := ts.ReadFile("stdout"); got != "code="+args[0]+"\n" {
		ts.Fatalf("mabuild %q ended with %q, want %s and nothing else on standard output", args[1:], got, args[0])
	}
}

func TestExitCodeOfUnknownError(t *testing.T) {
	if got := exitCode(context.DeadlineExceeded); got != exitFailed {
		t.Errorf("got %d, want %d", got, exitFailed)
	}
}
