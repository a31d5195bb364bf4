package assist

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// What is read of a project.
const (
	maxProjectEntries = 4000
	maxProjectDepth   = 5
	maxProjectFile    = 1 << 20
)

// machineProject finds what in a project's files makes a choice by the machine, or
// makes something for it. Names of plugins are enough: what they do by themselves
// is not in the file.
var machineProject = regexp.MustCompile(`os\.arch|os\.detected|os-maven-plugin|osdetector|<arch>|jlink|jpackage|native-image|native-maven-plugin|` +
	`org\.graalvm|org\.openjfx|javafx|org\.bytedeco|javacpp|lwjgl|org\.eclipse\.swt|frontend-maven-plugin|node-gradle|kotlin[("]*multiplatform|exec-maven-plugin|maven-antrun-plugin|<exec\b`)

// judgeProject says what in the build files of a project depends on the machine, or
// that they cannot be read.
func judgeProject(files fs.FS) (reason, note string) {
	const unknown = "the project cannot be read in advance; it must not choose by os.arch"
	if files == nil {
		return "", unknown
	}
	entries, found := 0, false
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entries++; entries > maxProjectEntries {
			return errTooMany
		}
		if entry.IsDir() {
			base := path.Base(name)
			if strings.Count(name, "/") >= maxProjectDepth || slices.Contains([]string{"src", "target", "build", "node_modules", ".git", ".gradle"}, base) {
				return fs.SkipDir
			}
			return nil
		}
		if !projectFile(name) || !entry.Type().IsRegular() {
			return nil
		}
		found = true
		text, err := readSome(files, name)
		if err != nil {
			return err
		}
		if word := machineProject.FindString(text); word != "" {
			reason = fmt.Sprintf("%s has %s, which may depend on the machine", name, word)
			return fs.SkipAll
		}
		return nil
	})
	switch {
	case reason != "":
		return reason, ""
	case err != nil, !found:
		return "", unknown
	}
	return "", "plugins of the project must not choose by os.arch"
}

var errTooMany = errors.New("there are too many files")

func projectFile(name string) bool {
	base := path.Base(name)
	return slices.Contains([]string{"pom.xml", "build.xml", "gradle.properties", "libs.versions.toml", "extensions.xml", "maven.config", "jvm.config"}, base) ||
		strings.HasSuffix(base, ".gradle") || strings.HasSuffix(base, ".gradle.kts")
}

func readSome(files fs.FS, name string) (string, error) {
	file, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxProjectFile))
	return string(text), err
}
