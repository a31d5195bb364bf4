package contexts

import (
	"io/fs"
	"path"
	"strings"
)

// entry is what a source has under a path.
type entry struct {
	mode    fs.FileMode
	link    string // target of a symbolic link
	object  string // git's name of the content
	ordinal int    // in an archive, from 1
}

// lookup returns the entry of a clean path, "" for the root, following nothing.
type lookup func(path string) (entry, error)

// maxLinks is how many symbolic links are followed for one path, as in BuildKit.
const maxLinks = 255

// resolve follows symbolic links as if the root of the source were that of the
// machine, as BuildKit does: none leads out of it. What is not there is no error
// until its entry is looked at.
func resolve(at lookup, name string) (string, error) {
	pending := strings.Split(path.Clean("/" + name)[1:], "/")
	done, links := "", 0
	for len(pending) > 0 {
		part := pending[0]
		pending = pending[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = strings.TrimPrefix(path.Dir("/"+done), "/")
			continue
		}
		next := path.Join(done, part)
		e, err := at(next)
		if err != nil {
			return "", err
		}
		if e.mode&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", &hintError{&fs.PathError{Op: "open", Path: name, Err: errLoop}, "check the path"}
		}
		if strings.HasPrefix(e.link, "/") {
			done = ""
		}
		pending = append(strings.Split(e.link, "/"), pending...)
	}
	return done, nil
}

// find returns the regular file that a path leads to.
func find(at lookup, name string) (entry, error) {
	real, err := resolve(at, name)
	if err != nil {
		return entry{}, err
	}
	e, err := at(real)
	switch {
	case err != nil:
		return e, err
	case e.mode&modeSubmodule == modeSubmodule:
		return e, &hintError{&fs.PathError{Op: "open", Path: name, Err: errSubmodule}, "give a directory with the submodules checked out"}
	case !e.mode.IsRegular():
		return e, &hintError{&fs.PathError{Op: "open", Path: name, Err: errIrregular}, "check the path"}
	}
	return e, nil
}
