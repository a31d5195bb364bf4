package debian_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/testbed/debian"
)

const (
	deb822 = `Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security/
Suites: bookworm-security
Components: main contrib
`
	oneLine = `# the machine's mirror
deb [arch=amd64 signed-by=/k.gpg] https://lines.example/debian trixie main contrib # inline
deb-src https://lines.example/debian trixie main
deb https://lines.example/debian-security trixie-security main
`
	others = `Types: deb
URIs: https://deb.nodesource.example/node_20.x
Suites: nodistro
Components: main

Types: deb
URIs: https://download.docker.example/linux/debian
Suites: bookworm
Components: stable
`
	disabled = "Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n"
)

func TestReadSource(t *testing.T) {
	none := debian.Source{}
	tests := map[string]struct {
		files map[string]string
		want  debian.Source
	}{
		"no files": {nil, none},
		"stanzas": {
			map[string]string{"sources.list.d/debian.sources": deb822, "sources.list.d/a.sources": others},
			debian.Source{Mirror: "http://mirror.example/debian", Security: "http://mirror.example/debian-security"},
		},
		"lines": {
			map[string]string{"sources.list": oneLine},
			debian.Source{Mirror: "https://lines.example/debian", Security: "https://lines.example/debian-security"},
		},
		"lines before stanzas": {
			map[string]string{"sources.list": oneLine, "sources.list.d/debian.sources": deb822},
			debian.Source{Mirror: "https://lines.example/debian", Security: "https://lines.example/debian-security"},
		},
		"other archives alone":  {map[string]string{"sources.list.d/a.sources": others}, none},
		"disabled stanza":       {map[string]string{"sources.list.d/a.sources": disabled}, none},
		"file that apt ignores": {map[string]string{"sources.list.d/debian.sources.off": deb822}, none},
		"password in the address": {
			map[string]string{"sources.list": "deb http://user:secret@mirror.example/debian bookworm main\n"}, none,
		},
		"no address of the web": {
			map[string]string{"sources.list": "deb mirror+file:/etc/apt/mirrors.txt bookworm main\ndeb cdrom:[Debian]/ bookworm main\n"}, none,
		},
		"another distribution": {
			map[string]string{"sources.list": "deb http://archive.ubuntu.example/ubuntu noble main\n"}, none,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			for file, text := range test.files {
				path := filepath.Join(etc, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := debian.ReadSource(etc)
			if (err == nil) != (test.want != none) || err != nil && !errors.Is(err, debian.ErrNoMirror) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the source differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStanzasReadBack(t *testing.T) {
	want := debian.Source{Mirror: "http://mirror.example/debian", Security: "http://mirror.example/security"}
	etc := t.TempDir()
	if err := os.MkdirAll(filepath.Join(etc, "sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "sources.list.d/debian.sources"), []byte(want.Stanzas(debian.Trixie)), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := debian.ReadSource(etc)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("read %v from what was written for %v", got, want)
	}
}

func FuzzParseSources(f *testing.F) {
	for _, text := range []string{deb822, oneLine, others, disabled, "deb [", "deb [x", ":\n :", "Types: deb\n\tURIs: x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, extension := range []string{".list", ".sources"} {
			for _, source := range debian.ParseSources(extension, []byte(text)) {
				if extension == ".list" && (source.URI == "" || len(source.Suites) != 1 || len(source.Components) == 0) {
					t.Errorf("%q gives an incomplete source: %+v", text, source)
				}
			}
		}
		if got := debian.ParseSources(".bak", []byte(text)); got != nil {
			t.Errorf("a file that apt doesn't read gives %v", got)
		}
	})
}
