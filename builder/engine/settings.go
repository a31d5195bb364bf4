package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// RunOptions are the arguments of the engine process.
type RunOptions struct {
	State      State
	ConfigFile string
	Idle       time.Duration
	Settings   string // JSON of [Settings]
	// IDs says how ids are mapped, kept for [Info].
	IDs string
	// Supervise makes the process start the engine instead of being it.
	Supervise bool
	// AwaitMap makes the process wait for its id map and start anew.
	AwaitMap bool
}

// Settings are what makes two engines different.
type Settings struct {
	Binary string `json:"binary"` // identifies the program
	Config string `json:"config"` // digest of the buildkitd.toml
	Way    Way    `json:"way"`    // not Auto
	Runc   string `json:"runc,omitempty"`
	// Emulators are the QEMUs by QEMU's name of the architecture.
	Emulators map[string]Emulator `json:"emulators,omitempty"`
}

// Emulator is one QEMU binary.
type Emulator struct {
	Path  string `json:"path"`
	Stamp string `json:"stamp"` // changes with the file
}

// settings describe the engine that the options ask for.
func (o Options) settings() (Settings, error) {
	if _, err := LoadConfig(o.ConfigFile); err != nil {
		return Settings{}, err
	}
	config, err := fileDigest(o.ConfigFile)
	if err != nil {
		return Settings{}, err
	}
	binary, err := os.Stat(o.Command[0])
	if err != nil {
		return Settings{}, fmt.Errorf("finding the engine's program: %w", err)
	}
	return Settings{
		Binary: fmt.Sprintf("%d-%d", binary.Size(), binary.ModTime().UnixNano()),
		Config: config, Way: o.Emulation, Runc: o.Tools.Runc, Emulators: o.Tools.emulators(),
	}, nil
}

// emulators are the QEMUs of the tools, and of PATH for the other architectures.
func (t Tools) emulators() map[string]Emulator {
	native := emulation.Native()
	found := map[string]Emulator{}
	for _, arch := range emulation.Arches() {
		if slices.ContainsFunc(native, platforms.OnlyStrict(arch.Platform).Match) {
			continue
		}
		path, ok := t.QEMU[arch.Name]
		if !ok {
			var err error
			if path, err = arch.FindQEMU(); err != nil {
				continue
			}
		}
		if info, err := os.Stat(path); err == nil {
			found[arch.Name] = Emulator{Path: path, Stamp: fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano())}
		}
	}
	return found
}

// serve reports whether an engine with these settings serves a build that wants
// others: what the build does not need may differ.
func (s Settings) serve(want Settings, needed []ocispec.Platform) bool {
	if s.Binary != want.Binary || s.Config != want.Config || s.Way != want.Way || s.Runc != want.Runc && want.Runc != "" {
		return false
	}
	for _, p := range needed {
		arch, err := emulation.Lookup(p)
		if err != nil {
			continue // the plan will complain
		}
		if wanted, ok := want.Emulators[arch.Name]; ok && s.Emulators[arch.Name] != wanted {
			return false
		}
	}
	return true
}

// keep adds what an engine has that is to be replaced, as far as it is there still:
// two builds with different needs must not take each other's emulators away.
func (s *Settings) keep(have Settings) {
	if s.Runc == "" {
		s.Runc = have.Runc
	}
	for name, emulator := range have.Emulators {
		if _, ok := s.Emulators[name]; ok {
			continue
		}
		if _, err := os.Stat(emulator.Path); err == nil {
			s.Emulators[name] = emulator
		}
	}
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
