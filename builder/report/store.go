package report

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	keepDefault = 50
	suffix      = ".build"
	stamp       = "20060102T150405.000" // sorts by time
	// maxFile is what is read of one. A build of 500 steps takes less than a megabyte.
	maxFile = 64 << 20
	// staleAfter is when a file that someone began to write was given up.
	staleAfter = time.Hour
)

// ErrNoBuild is for an ID that no kept build has.
var ErrNoBuild = errors.New("no such build is kept")

// AmbiguousError is for the beginning of several builds' IDs.
type AmbiguousError struct {
	Prefix string
	IDs    []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%d builds begin with %q: give more of the ID", len(e.IDs), e.Prefix)
}

// Store keeps the last builds. The zero value is ready. It may be used by several
// goroutines and processes at once.
type Store struct {
	// Dir is the folder. Default: mabuild/builds in XDG_STATE_HOME if that is set,
	// otherwise in the user's cache folder.
	Dir string
	// Keep is how many builds are kept. Default: 50.
	Keep int
}

// Summary is a line in the list of builds.
type Summary struct {
	ID        string    `json:"id"`
	Started   time.Time `json:"started"`
	Completed time.Time `json:"completed"`
	File      string    `json:"file,omitempty"`
	Context   string    `json:"context,omitempty"`
	Target    string    `json:"target,omitempty"`
	Names     []string  `json:"names,omitempty"`
	Digest    string    `json:"digest,omitempty"`
	Platforms []string  `json:"platforms"`
	Steps     int       `json:"steps"`
	Cached    int       `json:"cached"`
	Error     string    `json:"error,omitempty"` // its first line
}

// Duration is how long the build took.
func (s Summary) Duration() time.Duration { return max(s.Completed.Sub(s.Started), 0) }

func summaryOf(b *Build) Summary {
	first, _, _ := strings.Cut(b.Error, "\n")
	s := Summary{
		ID: b.ID, Started: b.Started, Completed: b.Completed, File: b.File, Context: b.Context, Target: b.Target,
		Names: b.Names, Digest: b.Digest, Error: cut(first, 300), Platforms: []string{}, Steps: len(b.Steps),
	}
	for i := range b.Platforms {
		s.Platforms = append(s.Platforms, b.Platforms[i].Name)
	}
	for i := range b.Steps {
		if b.Steps[i].Cached {
			s.Cached++
		}
	}
	return s
}

func (s Store) dir() (string, error) {
	if s.Dir != "" {
		return s.Dir, nil
	}
	// The specification says that a relative path is none.
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "mabuild", "builds"), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for the folder of builds: %w; set XDG_STATE_HOME", err)
	}
	return filepath.Join(cache, "mabuild", "builds"), nil
}

// Save keeps a build, and removes the oldest ones if there are too many. A build
// without an ID is an error; one with the ID of a kept build that started at the same
// time replaces that.
func (s Store) Save(b *Build) (err error) {
	if !validID(b.ID) {
		return fmt.Errorf("keeping a build: the ID %q is none; use letters and digits", b.ID)
	}
	dir, err := s.dir()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("keeping the build in %s: %w", dir, err)
		}
	}()
	var text bytes.Buffer
	out := json.NewEncoder(&text) // one line per value
	if err := errors.Join(out.Encode(summaryOf(b)), out.Encode(b)); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := b.Started.UTC().Format(stamp) + "-" + b.ID + suffix
	if err := replace(filepath.Join(dir, name), text.Bytes(), 0o600); err != nil {
		return err
	}
	s.sweep(dir, time.Now())
	return nil
}

// replace writes a file beside and renames it.
func replace(path string, text []byte, mode os.FileMode) (err error) {
	name := path + "." + rand.Text()
	temp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) // CreateTemp would not ask the umask
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(name)
		}
	}()
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(name, path)
}

// sweep removes the builds that are too many, and what is left of processes that were
// killed. What cannot be removed is in nobody's way.
func (s Store) sweep(dir string, now time.Time) {
	names, err := builds(dir)
	if err != nil {
		return
	}
	for i := cmp.Or(s.Keep, keepDefault); i < len(names); i++ {
		_ = os.Remove(filepath.Join(dir, names[i]))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if !strings.Contains(entry.Name(), suffix+".") {
			continue
		}
		if info, err := entry.Info(); err == nil && now.Sub(info.ModTime()) > staleAfter {
			_ = os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// builds returns the names of the files, the newest build first.
func builds(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the builds: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if _, ok := idOf(entry.Name()); ok && entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	slices.Reverse(names) // ReadDir sorts them
	return names, nil
}

func idOf(name string) (string, bool) {
	when, id, found := strings.Cut(strings.TrimSuffix(name, suffix), "-")
	_, err := time.Parse(stamp, when)
	return id, found && err == nil && strings.HasSuffix(name, suffix) && validID(id)
}

func validID(id string) bool {
	for _, c := range id {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// List returns the kept builds, the newest first. Files that cannot be read, or that
// are removed meanwhile, are skipped.
func (s Store) List() ([]Summary, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		names, err := builds(dir)
		if err != nil {
			return nil, err
		}
		list, removed := summaries(dir, names)
		// Newer builds may have taken the places of all that were there.
		if len(list) > 0 || !removed || try == 10 {
			return list, nil
		}
	}
}

// summaries reads builds, and reports whether some are gone.
func summaries(dir string, names []string) (list []Summary, removed bool) {
	for _, name := range names {
		var summary Summary
		id, _ := idOf(name)
		err := readLine(filepath.Join(dir, name), 0, &summary)
		if err == nil && summary.ID == id {
			list = append(list, summary)
		}
		removed = removed || errors.Is(err, fs.ErrNotExist)
	}
	return list, removed
}

// Load returns the build whose ID begins with a prefix, in upper or lower case; the
// last build if the prefix is empty. The error is [ErrNoBuild] or an [*AmbiguousError]
// if that is not one build.
func (s Store) Load(prefix string) (*Build, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	names, err := builds(dir)
	if err != nil {
		return nil, err
	}
	var found, ids []string
	for _, name := range names {
		if id, _ := idOf(name); len(id) >= len(prefix) && strings.EqualFold(id[:len(prefix)], prefix) {
			found, ids = append(found, name), append(ids, id)
		}
	}
	switch {
	case len(found) == 0 && prefix == "":
		return nil, fmt.Errorf("looking for the last build: %w", ErrNoBuild)
	case len(found) == 0:
		return nil, fmt.Errorf("looking for the build %q: %w", prefix, ErrNoBuild)
	case len(found) > 1 && prefix != "":
		return nil, &AmbiguousError{Prefix: prefix, IDs: ids}
	}
	var b Build
	if err := readLine(filepath.Join(dir, found[0]), 1, &b); err != nil {
		if errors.Is(err, fs.ErrNotExist) { // another process removed it
			err = ErrNoBuild
		}
		return nil, fmt.Errorf("reading the build %s: %w", ids[0], err)
	}
	return &b, nil
}

// readLine decodes a line of a file.
func readLine(path string, number int, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxFile)
	for range number + 1 {
		if !lines.Scan() {
			return cmp.Or(lines.Err(), errors.New("the file is cut short"))
		}
	}
	return json.Unmarshal(lines.Bytes(), into)
}
