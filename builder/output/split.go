package output

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Splits reports whether files of so many platforms are in directories of their own.
func (s Spec) Splits(platforms int) bool { return splits(s.Split, platforms) }

func splits(split *bool, platforms int) bool {
	if split == nil {
		return platforms > 1
	}
	return *split
}

// sharedNames are the files of platforms that have one place in common: whether each
// is a directory.
type sharedNames map[string]bool

// add adds a name. Directories are merged, and known reports that it was there before.
func (names sharedNames) add(name string, directory bool) (known bool, err error) {
	before, known := names[name]
	if known && (!before || !directory) {
		return true, fmt.Errorf("several platforms have a file %q; give each a directory of its own by platform-split=true", name)
	}
	names[name] = directory
	return known, nil
}

// appendTar copies an archive's entries into out, but for directories that it has.
func (names sharedNames) appendTar(out *tar.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := newWholeReader(f)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		known, err := names.add(strings.TrimSuffix(header.Name, "/"), header.Typeflag == tar.TypeDir)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil { //nolint:gosec // as large as the image is
			return err
		}
	}
}

// checkShared refuses files that would replace each other: what one platform has in a
// place, no other may have there.
func (f *Files) checkShared() error {
	users := make(map[string]int)
	for _, s := range f.staged {
		users[s.place]++
	}
	places := make(map[string]sharedNames)
	for _, s := range f.staged {
		if users[s.place] < 2 {
			continue
		}
		if places[s.place] == nil {
			places[s.place] = make(sharedNames)
		}
		err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == s.dir { // the result goes without this platform
				return filepath.SkipAll
			}
			if err != nil || path == s.dir {
				return err
			}
			relative, err := filepath.Rel(s.dir, path)
			if err != nil {
				return err
			}
			_, err = places[s.place].add(relative, entry.IsDir())
			return err
		})
		if err != nil {
			return fmt.Errorf("writing the files in %s: %w", s.place, err)
		}
	}
	return nil
}
