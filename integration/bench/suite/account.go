package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// account is an ordinary user, made for a measurement. Its engine is one of its own.
type account struct {
	name string
	dir  string   // the user's, with the home in it
	env  []string // what is set besides that of other programs
}

// newAccount makes an account in a folder that is not there yet. The folders above it
// have to let everybody through.
func newAccount(ctx context.Context, dir string) (account, error) {
	a := account{name: fmt.Sprintf("mabuild-bench-%d", os.Getpid()), dir: dir}
	a.env = []string{"HOME=" + dir, "MABUILD_STATE_DIR=" + filepath.Join(dir, "engine")}
	if out, err := exec.CommandContext(ctx, "useradd", "--create-home", "--home-dir", dir, a.name).CombinedOutput(); err != nil {
		return a, fmt.Errorf("making an account: %w: %s", err, out)
	}
	return a, nil
}

// command is the command line with which the user runs a program.
func (a account) command(args []string) []string {
	return append(append([]string{"setpriv", "--reuid", a.name, "--regid", a.name, "--clear-groups", "env"}, a.env...), args...)
}

// give lets the user have a folder that root made.
func (a account) give(ctx context.Context, dir string) error {
	if out, err := exec.CommandContext(ctx, "chown", a.name, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("giving a folder to an account: %w: %s", err, out)
	}
	return nil
}

// remove deletes the account, but not its folder. Its engine may take a moment to end.
func (a account) remove(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "userdel", "--force", a.name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("deleting an account: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
