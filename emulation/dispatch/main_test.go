package dispatch_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// stubVariable is the file of a stub to test in place of the committed one.
const stubVariable = "DISPATCH_TEST_STUB"

// scratch is a directory for what several tests use.
var scratch string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if path := os.Getenv(stubVariable); path != "" {
		stub, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		dispatch.SetStub(stub)
	}
	if scratch, err = os.MkdirTemp("", "dispatch-test-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	return m.Run(), nil
}
