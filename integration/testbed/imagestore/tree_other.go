//go:build !linux

package imagestore

import "errors"

// Tree fails: owners and modes are those of a Linux file system.
func Tree(string, func(string) bool) ([]Entry, error) {
	return nil, errors.New("reading a tree of files: base images are made on Linux: use a Debian machine or container")
}
