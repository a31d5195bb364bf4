package toolbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// tree is a root file system, or a package that was unpacked alone, with the packages
// in it. Links that lead out of it are not followed.
type tree struct {
	root     *os.Root
	files    fs.FS
	packages []Package
	owners   map[string]string // names of packages by path without /usr; made when it is needed
}

// openRoot opens a root file system.
func openRoot(dir string) (*tree, error) {
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	if t.packages, err = installedPackages(t.files); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// openUnpacked opens a directory that dpkg-deb --raw-extract made.
func openUnpacked(dir string) (*tree, error) {
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	control, err := fs.ReadFile(t.files, "DEBIAN/control")
	if err == nil {
		t.packages = parsePackages(string(control))
		if len(t.packages) != 1 {
			err = errors.New("its control file describes no package")
		}
	}
	if err == nil {
		t.packages[0].Files, err = walkFiles(t.files)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading a package: %w", err), t.close())
	}
	return t, nil
}

func openTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &tree{root: root, files: root.FS()}, nil
}

func (t *tree) close() error { return t.root.Close() }

// filesOf lists the files of a package of the tree.
func (t *tree) filesOf(pkg Package) ([]string, error) {
	if pkg.Files != nil {
		return pkg.Files, nil
	}
	return listFiles(t.files, pkg)
}

// read returns the contents of a regular file at an absolute path.
func (t *tree) read(name string) ([]byte, error) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	info, err := fs.Stat(t.files, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxProgram {
		return nil, fmt.Errorf("reading /%s: it is no file of a program", name)
	}
	return fs.ReadFile(t.files, name)
}

// isRegular reports whether a path is a file and no link.
func (t *tree) isRegular(name string) bool {
	info, err := fs.Lstat(t.files, strings.TrimPrefix(name, "/"))
	return err == nil && info.Mode().IsRegular()
}

// linkTo returns the file that a link is for, empty if the path is none.
func (t *tree) linkTo(name string) string {
	target, err := fs.ReadLink(t.files, strings.TrimPrefix(name, "/"))
	if err != nil {
		return ""
	}
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(name), target)
	}
	return target
}

// libraryPaths are where a library can be.
func libraryPaths(triplet, name string) []string {
	return []string{"/usr/lib/" + triplet + "/" + name, "/lib/" + triplet + "/" + name}
}

// owner returns the package that a file belongs to. Paths are compared without /usr,
// because packages name what is now there by the old directories.
func (t *tree) owner(name, architecture string) (Package, bool) {
	if t.owners == nil {
		t.owners = make(map[string]string)
		for _, pkg := range t.packages {
			files, err := t.filesOf(pkg)
			if err != nil || pkg.Architecture != architecture {
				continue
			}
			for _, file := range files {
				t.owners[strings.TrimPrefix(file, "/usr")] = pkg.Name
			}
		}
	}
	return named(t.packages, t.owners[strings.TrimPrefix(name, "/usr")], architecture)
}
