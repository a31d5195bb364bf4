package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/mabuild/mabuild/emulation"
)

// RunOptions are the arguments of the engine process.
type RunOptions struct {
	State      State
	ConfigFile string
	Idle       time.Duration
	Settings   string // JSON of [Settings], kept for [Info]
	// Way of emulation, not Auto.
	Way Way
	// IDs says how ids are mapped, kept for [Info].
	IDs string
	// Supervise makes the process start the engine instead of being it.
	Supervise bool
	// AwaitMap makes the process wait for its id map and start anew.
	AwaitMap bool
}

// fileDigest identifies a file's content; the empty path has the empty digest.
func fileDigest(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}

// emulators identifies the QEMU binaries that an engine started now would register.
func emulators() string {
	sum := sha256.New()
	for _, arch := range emulation.Arches() {
		path, err := arch.FindQEMU()
		if err != nil {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(sum, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
