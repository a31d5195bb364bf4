package debian

// ParsedSource is a source as the tests see it.
type ParsedSource = aptSource

// ParseSources is parseSources for tests.
func ParseSources(extension string, text []byte) []ParsedSource {
	return parseSources(extension, text)
}
