package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// Bounds of a project's file, and of the folder.
const (
	maxBytes  = 256 << 10            // a file that is longer is cut
	keepBytes = maxBytes / 2         // to about so much
	maxBuilds = 200                  // that are looked at, and kept when a file is cut
	maxAge    = 180 * 24 * time.Hour // of files of projects that are not built any more
	suffix    = ".jsonl"
)

// Store keeps what builds recorded, one file per project. The zero value is ready.
// It may be used by several goroutines and processes at once.
type Store struct {
	// Dir is the folder. Default: mabuild/history in the user's cache folder.
	Dir string
}

// Project names what is built: a context, which is a directory or a URL, and the path
// of the Dockerfile. It is the same from wherever a directory is reached. With a URL,
// the Dockerfile is what it is called there.
func Project(context, dockerfile string) string {
	if !strings.Contains(context, "://") && !strings.HasPrefix(context, "git@") {
		context, dockerfile = canonical(context), canonical(dockerfile)
	}
	return digest.FromString(context + "\x00" + dockerfile).Encoded()[:32]
}

func canonical(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path
}

// file is the path of a project's file.
func (s Store) file(project string) (string, error) {
	dir := s.Dir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("looking for the cache folder: %w; set XDG_CACHE_HOME", err)
		}
		dir = filepath.Join(cache, "mabuild", "history")
	}
	if project == "" || project != filepath.Base(project) {
		return "", fmt.Errorf("the project %q is none of Project", project)
	}
	return filepath.Join(dir, project+suffix), nil
}

// Load returns what is known of a project, which is nothing if it was never built.
// Lines that are torn, foreign or beyond belief are skipped.
func (s Store) Load(project string) (*Past, error) {
	path, err := s.file(project)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newPast(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the history: %w", err)
	}
	defer f.Close()
	text, err := tail(f, maxBytes+maxLine)
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	return newPast(parse(text)), nil
}

// tail reads the end of a file.
func tail(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: errors.New("not a regular file")}
	}
	from := max(info.Size()-limit, 0)
	return io.ReadAll(io.NewSectionReader(f, from, limit))
}

// parse returns the records of the last builds, in their order.
func parse(text []byte) []Record {
	var records []Record
	for l := range bytes.Lines(text) {
		if r, ok := decode(bytes.TrimSpace(l)); ok {
			records = append(records, r)
		}
	}
	builds := make(map[string]bool)
	for i := len(records) - 1; i >= 0; i-- {
		if builds[records[i].Build] = true; len(builds) > maxBuilds {
			return records[i+1:]
		}
	}
	return records
}

// Append adds a record to a project's history. One without runs is nothing to add.
func (s Store) Append(project string, r Record) error {
	text, err := encode(r)
	if err != nil || len(text) == 0 {
		return err
	}
	path, err := s.file(project)
	if err != nil {
		return err
	}
	f, fresh, err := open(path)
	if err != nil {
		return fmt.Errorf("opening the history: %w", err)
	}
	size, err := add(f, text)
	// Closing lets go of the lock, too.
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the history: %w", err)
	}
	if fresh {
		sweep(filepath.Dir(path), time.Now())
	}
	if size > maxBytes {
		if err := compact(path); err != nil {
			return fmt.Errorf("cutting the history: %w", err)
		}
	}
	return nil
}

// open opens a project's file with a shared lock, which keeps it from being replaced.
func open(path string) (f *os.File, fresh bool, err error) {
	// A file that was replaced between opening and locking is not the one to write to.
	for range 10 {
		_, err = os.Stat(path)
		fresh = errors.Is(err, fs.ErrNotExist)
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600); errors.Is(err, fs.ErrNotExist) {
			if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
				f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
			}
		}
		if err != nil {
			return nil, false, err
		}
		if err = lockShared(f); err == nil && current(f, path) {
			return f, fresh, nil
		}
		_ = f.Close()
	}
	if err == nil {
		err = errors.New("it is being replaced all the time")
	}
	return nil, false, err
}

// current reports whether a file is still the one at its path.
func current(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// add appends lines in one write, so that those of several processes do not mix. It
// returns how long the file is then.
func add(f *os.File, text []byte) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	last := make([]byte, 1)
	if n, err := f.ReadAt(last, info.Size()-1); info.Size() > 0 && err == nil && n == 1 && last[0] != '\n' {
		text = append([]byte{'\n'}, text...) // someone was killed within a line
	}
	_, err = f.Write(text)
	return info.Size() + int64(len(text)), err
}

// compact replaces a file by one with its newest records. It leaves that to the next
// build if another process is at the file.
func compact(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if free, err := lockExclusive(f); err != nil || !free {
		return err
	}
	// Whoever wrote at the same time wants it cut, too.
	if info, err := f.Stat(); err != nil || info.Size() <= maxBytes || !current(f, path) {
		return err
	}
	text, err := tail(f, maxBytes+maxLine)
	if err != nil {
		return err
	}
	var kept [][]byte
	size := 0
	records := parse(text)
	for i := len(records) - 1; i >= 0 && size < keepBytes; i-- {
		l, err := encode(records[i])
		if err != nil {
			return err
		}
		kept = append(kept, l)
		size += len(l)
	}
	return replace(path, kept)
}

// replace writes lines, of which the last comes first, and renames the file.
func replace(path string, lines [][]byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	var out bytes.Buffer
	for i := len(lines) - 1; i >= 0; i-- {
		out.Write(lines[i])
	}
	_, err = temp.Write(out.Bytes())
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// sweep removes the files of projects that have not been built for long, and what is
// left of processes that were killed. What cannot be removed is in nobody's way.
func sweep(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && strings.Contains(entry.Name(), suffix) && now.Sub(info.ModTime()) > maxAge {
			_ = os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}
