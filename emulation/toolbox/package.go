package toolbox

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Package is an installed or unpacked binary package of Debian.
type Package struct {
	Name          string
	Architecture  string
	Version       string
	Source        string
	SourceVersion string // empty if it is the binary's
	BuiltUsing    string
	Files         []string // absolute paths; empty until they are listed
}

// parsePackages reads a file of control paragraphs: /var/lib/dpkg/status, or the
// control file of one package. Packages that are not installed are left out.
func parsePackages(text string) []Package {
	var packages []Package
	for paragraph := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if pkg, ok := parsePackage(paragraph); ok {
			packages = append(packages, pkg)
		}
	}
	return packages
}

func parsePackage(paragraph string) (Package, bool) {
	var pkg Package
	installed := true
	for line := range strings.SplitSeq(paragraph, "\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			continue
		}
		value = strings.TrimSpace(value)
		switch name {
		case "Package":
			pkg.Name = value
		case "Architecture":
			pkg.Architecture = value
		case "Version":
			pkg.Version = value
		case "Source":
			pkg.Source, pkg.SourceVersion, _ = strings.Cut(value, " (")
			pkg.SourceVersion = strings.TrimSuffix(pkg.SourceVersion, ")")
		case "Built-Using":
			pkg.BuiltUsing = value
		case "Status":
			installed = strings.HasSuffix(value, " installed")
		}
	}
	if pkg.Source == "" {
		pkg.Source = pkg.Name
	}
	return pkg, installed && isWord(strings.ReplaceAll(pkg.Name, "+", "-")) && pkg.Version != ""
}

// installedPackages returns the packages of a root file system: those of Debian's
// images, and of distroless ones, which have a file per package.
func installedPackages(root fs.FS) ([]Package, error) {
	text, err := fs.ReadFile(root, "var/lib/dpkg/status")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the package database: %w", err)
	}
	return parsePackages(string(text)), nil
}

// listFiles returns the files of an installed package.
func listFiles(root fs.FS, pkg Package) ([]string, error) {
	for _, name := range []string{pkg.Name + ":" + pkg.Architecture, pkg.Name} {
		text, err := fs.ReadFile(root, path.Join("var/lib/dpkg/info", name+".list"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing the files of package %s: %w", pkg.Name, err)
		}
		return strings.Fields(string(text)), nil
	}
	return nil, nil
}

// walkFiles lists the files of a package that was unpacked alone.
func walkFiles(root fs.FS) ([]string, error) {
	var files []string
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasPrefix(name, "DEBIAN/") {
			files = append(files, "/"+name)
		}
		return err
	})
	return files, err
}

// named returns the package of a name for an architecture.
func named(packages []Package, name, architecture string) (Package, bool) {
	i := slices.IndexFunc(packages, func(p Package) bool {
		return p.Name == name && (p.Architecture == architecture || p.Architecture == "all")
	})
	if i < 0 {
		return Package{}, false
	}
	return packages[i], true
}
