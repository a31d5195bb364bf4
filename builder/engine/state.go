package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// DefaultIdle is how long an unused engine stays: long enough for a person who
// edits between two builds, short enough not to outlive a CI job by much.
const DefaultIdle = 10 * time.Minute

// maxSocketPath is the length of sockaddr_un.sun_path less its final NUL, unix(7).
const maxSocketPath = 107

// State is the directory where one engine lives.
type State string

// DefaultState returns the state directory of the calling user: MABUILD_STATE_DIR
// where set, /var/lib/mabuild for root, $XDG_STATE_HOME/mabuild otherwise.
func DefaultState() (State, error) {
	if dir := os.Getenv("MABUILD_STATE_DIR"); dir != "" {
		abs, err := filepath.Abs(dir)
		return State(abs), err
	}
	if os.Geteuid() == 0 {
		return "/var/lib/mabuild", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return State(filepath.Join(dir, "mabuild")), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for the engine's state: %w", err)
	}
	return State(filepath.Join(home, ".local", "state", "mabuild")), nil
}

func (s State) path(name string) string { return filepath.Join(string(s), name) }

// Socket is the path of the engine's unix socket.
func (s State) Socket() string { return s.path("engine.sock") }

// Address is what a BuildKit client dials.
func (s State) Address() string { return "unix://" + s.Socket() }

// Log is the path of the engine's log file.
func (s State) Log() string { return s.path("engine.log") }

// Root is where BuildKit keeps its snapshots, content and caches.
func (s State) Root() string { return s.path("root") }

// Toolboxes is where the native tools for emulated steps are.
func (s State) Toolboxes() string { return s.path("toolbox") }

func (s State) dispatchers() string { return s.path("qemu") }
func (s State) stepLogs() string    { return s.path("steps") }

func (s State) info() string      { return s.path("engine.json") }
func (s State) stderr() string    { return s.path("engine.err") }
func (s State) lock() string      { return s.path("engine.lock") }
func (s State) startLock() string { return s.path("start.lock") }
func (s State) useLock() string   { return s.path("use.lock") }

// create makes the directory and checks that a socket fits into it.
func (s State) create() error {
	if n := len(s.Socket()); n > maxSocketPath {
		return &Error{
			Op:   fmt.Sprintf("using state directory %q", string(s)),
			Err:  fmt.Errorf("its socket's path has %d bytes, the kernel allows %d", n, maxSocketPath),
			Hint: "Set MABUILD_STATE_DIR to a shorter path.",
		}
	}
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return &Error{Op: "creating the engine's state directory", Err: err, Hint: "Set MABUILD_STATE_DIR to a directory that you can write to."}
	}
	return nil
}

// Info is what a running engine says of itself in engine.json.
type Info struct {
	PID       int       `json:"pid"` // as the reader sees it
	Started   time.Time `json:"started"`
	BuildKit  string    `json:"buildkit"`
	Runtime   string    `json:"runtime"`
	Snapshots string    `json:"snapshotter"`
	Idle      string    `json:"idle"`
	Config    string    `json:"config,omitempty"` // path of the buildkitd.toml it was started with
	IDs       string    `json:"ids"`              // identity, subordinate or single
	Emulation Emulation `json:"emulation"`
	// Settings identify what the engine was started with.
	Settings Settings `json:"settings"`
}

// Emulation says which binfmt_misc table the engine's containers see.
type Emulation struct {
	Way      Way       `json:"way"`              // never Auto
	Reason   string    `json:"reason,omitempty"` // why it is not the way that was asked for
	Handlers []Handler `json:"handlers,omitempty"`
}

// Handler is one architecture that the table runs.
type Handler struct {
	Arch        string `json:"arch"` // QEMU's name
	Interpreter string `json:"interpreter"`
	Version     string `json:"version,omitempty"` // QEMU's
	// Dispatcher is the copy of the interpreter that is registered in its place: it
	// can execute native tools. Empty if there is none.
	Dispatcher string `json:"dispatcher,omitempty"`
}

// readInfo describes the engine that listens on the socket.
func (s State) readInfo(ctx context.Context) (Info, error) {
	var info Info
	pid, err := s.peer(ctx)
	if err != nil {
		return info, err
	}
	body, err := os.ReadFile(s.info())
	if errors.Is(err, fs.ErrNotExist) {
		return info, ErrNotRunning
	}
	if err != nil {
		return info, fmt.Errorf("reading the engine's description: %w", err)
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return info, fmt.Errorf("reading %s: %w", s.info(), err)
	}
	info.PID = pid // the engine knows its number in its own namespace only
	return info, nil
}

func (s State) writeInfo(info Info) error {
	body, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	tmp := s.info() + ".tmp"
	if err := os.WriteFile(tmp, append(body, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the engine's description: %w", err)
	}
	return os.Rename(tmp, s.info())
}
