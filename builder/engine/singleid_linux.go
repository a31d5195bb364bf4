package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// SingleIDRuntime is the name under which this program is the container runtime of
// an engine with a single id: see [ExecSingleID].
const SingleIDRuntime = "mabuild-runc-single-id"

// realRuntime is the environment variable with the path of the real runc.
const realRuntime = "MABUILD_RUNC"

// wrapRuntime returns the path of a program that calls runc for an engine with a
// single id.
func wrapRuntime(state State, runtime string) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	wrapper := state.path(SingleIDRuntime)
	if err := os.Remove(wrapper); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.Symlink(program, wrapper); err != nil {
		return "", fmt.Errorf("making the runtime of an engine with a single id: %w", err)
	}
	return wrapper, os.Setenv(realRuntime, runtime)
}

// ExecSingleID becomes runc after taking out of the container's configuration what
// a single id cannot have: the group of terminals, gid 5, is not mapped, and the
// kernel refuses to mount devpts with it. It returns only if that fails.
func ExecSingleID(args []string) error {
	if i := slices.Index(args, "--bundle"); i >= 0 && i+1 < len(args) {
		if err := dropTerminalGroup(filepath.Join(args[i+1], "config.json")); err != nil {
			return err
		}
	}
	runtime := os.Getenv(realRuntime)
	return fmt.Errorf("executing %s: %w", runtime, unix.Exec(runtime, args, os.Environ()))
}

func dropTerminalGroup(path string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec map[string]json.RawMessage
	if err := json.Unmarshal(body, &spec); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	var mounts []specs.Mount
	if err := json.Unmarshal(spec["mounts"], &mounts); err != nil {
		return fmt.Errorf("reading the mounts of %s: %w", path, err)
	}
	for i := range mounts {
		mounts[i].Options = slices.DeleteFunc(mounts[i].Options, func(option string) bool { return option == "gid=5" })
	}
	if spec["mounts"], err = json.Marshal(mounts); err != nil {
		return err
	}
	if body, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o600)
}
