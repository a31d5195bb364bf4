package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/mabuild/mabuild/emulation"
)

// stateVersion is the version of the state file's format.
const stateVersion = 1

// state is the content of the state file.
type state struct {
	Version   int     `json:"version"`
	Installed []entry `json:"installed"`
}

// entry is what was done for one architecture.
type entry struct {
	Arch    string       `json:"arch"`
	Handler registration `json:"handler"`
	// Replaced are the handlers that had to go for it.
	Replaced []replaced `json:"replaced,omitempty"`
	// Overrides are files that keep others from registering those at boot.
	Overrides []string `json:"overrides,omitempty"`
}

type replaced struct {
	Handler  registration `json:"handler"`
	Disabled bool         `json:"disabled,omitempty"`
}

// registration is a handler that is text in JSON: the line that registers it.
type registration struct{ emulation.Handler }

func (r registration) MarshalText() ([]byte, error) {
	line, err := r.Registration()
	return []byte(line), err
}

func (r *registration) UnmarshalText(text []byte) (err error) {
	r.Handler, err = emulation.ParseRegistration(string(text))
	return err
}

// parseState checks all that is relied on later.
func parseState(text []byte) (state, error) {
	var s state
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&s); err != nil {
		return state{}, err
	}
	if s.Version != stateVersion {
		return state{}, fmt.Errorf("it has version %d, this mabuild knows %d", s.Version, stateVersion)
	}
	seen := make(map[string]bool)
	for _, e := range s.Installed {
		arch, err := emulation.ParseArch(e.Arch)
		if err != nil || arch.Name != e.Arch || seen[e.Arch] {
			return state{}, fmt.Errorf("entry for %q: unknown, or the second one", e.Arch)
		}
		seen[e.Arch] = true
		handlers := []emulation.Handler{e.Handler.Handler}
		for _, r := range e.Replaced {
			handlers = append(handlers, r.Handler.Handler)
		}
		for _, h := range handlers {
			if h.Name == "" { // a missing field: UnmarshalText was not called
				return state{}, fmt.Errorf("entry for %q lacks a handler", e.Arch)
			}
		}
		for _, path := range e.Overrides {
			if !filepath.IsAbs(path) || filepath.Ext(path) != ".conf" {
				return state{}, fmt.Errorf("entry for %q: override %q is no absolute path of a .conf file", e.Arch, path)
			}
		}
	}
	return s, nil
}

// loadState reads the state file; one that is not there is empty.
func loadState(path string) (state, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{Version: stateVersion}, nil
	}
	var s state
	if err == nil {
		s, err = parseState(text)
	}
	if err != nil {
		return state{}, &emulation.Error{
			Op: fmt.Sprintf("reading what mabuild has installed from %q", path), Err: err,
			Hint: "repair the file, or move it away: handlers that it has are somebody else's then",
		}
	}
	return s, nil
}

// save writes the file, or removes it when nothing is left to remember.
func (s *state) save(path string) error {
	if len(s.Installed) == 0 {
		_, err := removeFile(path)
		return err
	}
	slices.SortFunc(s.Installed, func(a, b entry) int { return bytes.Compare([]byte(a.Arch), []byte(b.Arch)) })
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = writeFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}

// find returns the entry for the architecture; nil if there is none.
func (s *state) find(arch string) *entry {
	for i := range s.Installed {
		if s.Installed[i].Arch == arch {
			return &s.Installed[i]
		}
	}
	return nil
}

// put adds the entry, or replaces the one for the same architecture.
func (s *state) put(e entry) {
	if old := s.find(e.Arch); old != nil {
		*old = e
		return
	}
	s.Installed = append(s.Installed, e)
}

func (s *state) drop(arch string) {
	s.Installed = slices.DeleteFunc(s.Installed, func(e entry) bool { return e.Arch == arch })
}
