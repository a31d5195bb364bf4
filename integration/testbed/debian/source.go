package debian

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// Suite is the Debian release of most base images, and of the packages that they
	// are made from.
	Suite = "bookworm"
	// Trixie is the release after that one.
	Trixie = "trixie"
	// keyring holds the keys that Debian's archive is signed with.
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// Source says where this machine gets Debian's packages from. Security may be empty.
type Source struct{ Mirror, Security string }

// ErrNoMirror is returned where apt knows no Debian mirror that images can use.
var ErrNoMirror = errors.New("apt has no Debian mirror with an http or https address; add one to /etc/apt/sources.list.d, as sources.list(5) describes")

// archives returns suites as lines of a sources.list that name the keyring. The
// security archive is left out: it drops architectures long before Debian's archive
// does.
func (s Source) archives(suites []string) string {
	var lines strings.Builder
	for _, suite := range suites {
		fmt.Fprintf(&lines, "deb [signed-by=%s] %s %s main\n", keyring, s.Mirror, suite)
	}
	return lines.String()
}

// Stanzas returns all of the source as Debian's images of a suite have it
// (debian.sources). Mirrors have every suite in one place.
func (s Source) Stanzas(suite string) string {
	stanza := func(uri, suites string) string {
		return fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n", uri, suites, keyring)
	}
	stanzas := stanza(s.Mirror, suite+" "+suite+"-updates")
	if s.Security != "" {
		stanzas += "\n" + stanza(s.Security, suite+"-security")
	}
	return stanzas
}

// ReadSource finds the machine's Debian mirrors in etc (/etc/apt), where other
// archives may stand beside them.
func ReadSource(etc string) (Source, error) {
	var source Source
	files, err := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	if err != nil {
		return source, fmt.Errorf("listing the sources of apt: %w", err)
	}
	for _, path := range append([]string{filepath.Join(etc, "sources.list")}, files...) {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return source, fmt.Errorf("reading the sources of apt: %w", err)
		}
		for _, found := range parseSources(filepath.Ext(path), text) {
			uri, ok := found.plainURI()
			switch {
			case !ok:
			case found.debian("-security") && source.Security == "":
				source.Security = uri
			case found.debian("") && source.Mirror == "":
				source.Mirror = uri
			}
		}
	}
	if source.Mirror == "" {
		return source, ErrNoMirror
	}
	return source, nil
}

// aptSource is one archive that apt knows.
type aptSource struct {
	URI        string
	Suites     []string
	Components []string
}

// debian reports whether the source is an archive of a Debian release, or of its
// variant ("-security"). Other archives use Debian's suites (bookworm stable) or
// names made of them (cloud-sdk-bookworm main), never both suite and component.
func (s aptSource) debian(variant string) bool {
	if !slices.Contains(s.Components, "main") {
		return false
	}
	for _, release := range []string{"bullseye", "bookworm", "trixie", "forky", "sid", "oldoldstable", "oldstable", "stable", "testing", "unstable"} {
		if slices.Contains(s.Suites, release+variant) {
			return true
		}
	}
	return false
}

// plainURI returns the URI if debootstrap and apt inside an image can use it as it
// is. Names and passwords in it are left on the machine.
func (s aptSource) plainURI() (string, bool) {
	uri, err := url.Parse(s.URI)
	if err != nil || uri.Host == "" || uri.Scheme != "http" && uri.Scheme != "https" || uri.User != nil {
		return "", false
	}
	return strings.TrimSuffix(uri.String(), "/"), true
}

// parseSources reads a source file of apt: .list has one source a line, .sources
// has stanzas (sources.list(5)). Files of any other name are not read by apt.
func parseSources(extension string, text []byte) []aptSource {
	switch extension {
	case ".list":
		return parseSourceLines(text)
	case ".sources":
		return parseSourceStanzas(text)
	}
	return nil
}

func parseSourceLines(text []byte) []aptSource {
	var sources []aptSource
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "deb" {
			continue
		}
		fields = fields[1:]
		if len(fields) > 0 && strings.HasPrefix(fields[0], "[") {
			end := slices.IndexFunc(fields, func(field string) bool { return strings.HasSuffix(field, "]") })
			fields = fields[end+1:]
		}
		if len(fields) >= 3 {
			sources = append(sources, aptSource{URI: fields[0], Suites: fields[1:2], Components: fields[2:]})
		}
	}
	return sources
}

func parseSourceStanzas(text []byte) []aptSource {
	var sources []aptSource
	for stanza := range strings.SplitSeq(string(text), "\n\n") {
		fields := stanzaFields(stanza)
		if !slices.Contains(fields["types"], "deb") || slices.Contains(fields["enabled"], "no") {
			continue
		}
		for _, uri := range fields["uris"] {
			sources = append(sources, aptSource{URI: uri, Suites: fields["suites"], Components: fields["components"]})
		}
	}
	return sources
}

// stanzaFields returns the words of each field, by the field's name in lower case.
func stanzaFields(stanza string) map[string][]string {
	fields := map[string][]string{}
	name := ""
	lines := bufio.NewScanner(bytes.NewReader([]byte(stanza)))
	lines.Buffer(nil, len(stanza)+1)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			key, value, found := strings.Cut(line, ":")
			if !found {
				continue
			}
			name, line = strings.ToLower(key), value
		}
		if name != "" {
			fields[name] = append(fields[name], strings.Fields(line)...)
		}
	}
	return fields
}
