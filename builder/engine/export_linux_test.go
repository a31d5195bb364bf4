package engine

// NamespaceHint is namespaceHint.
func NamespaceHint(err error, setting func(string) string) string {
	return namespaceHint(err, setting)
}

// ReleaseAtLeast is releaseAtLeast.
func ReleaseAtLeast(release string, major, minor int) bool {
	return releaseAtLeast(release, major, minor)
}

// DropTerminalGroup is dropTerminalGroup.
func DropTerminalGroup(path string) error { return dropTerminalGroup(path) }
