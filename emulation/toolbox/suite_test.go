package toolbox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

func TestDetect(t *testing.T) {
	for _, test := range []struct {
		name, release, goVersion string
		dpkg                     bool
		want                     []string
		reason                   string
	}{
		{"Debian 13", "ID=debian\nVERSION_CODENAME=trixie\n", "", true, []string{"trixie-base", "trixie"}, ""},
		{"Debian 12 with Go", "ID=debian\nVERSION_CODENAME=bookworm\n", "go1.26.8\ntime 2026-07-01\n", true, []string{"bookworm-base", "bookworm", "go1.26.8"}, ""},
		{"Ubuntu", "NAME=\"Ubuntu\"\nID=ubuntu\nVERSION_CODENAME=noble\n", "", true, []string{"noble-base", "noble"}, ""},
		{"Debian unstable", "ID=debian\nPRETTY_NAME=x\n", "", true, []string{"sid-base", "sid"}, ""},
		{"quoted", "ID=\"debian\"\r\nVERSION_CODENAME='trixie'\r\n", "", true, []string{"trixie-base", "trixie"}, ""},
		{"Alpine with Go", "ID=alpine\nVERSION_ID=3.22.0\n", "go1.26.8\n", false, []string{"go1.26.8"}, "Alpine"},
		{"Alpine", "ID=alpine\n", "", false, nil, "Alpine"},
		{"Fedora", "ID=fedora\n", "", false, nil, `it is "fedora"`},
		{"nothing", "", "", false, nil, "does not say what distribution"},
		{"distroless", "ID=debian\nVERSION_CODENAME=bookworm\n", "", false, nil, "without its packages"},
		{"a release to come", "ID=debian\nVERSION_CODENAME=zurg\n", "", true, nil, `"zurg" of debian is not known`},
		{"the name of a toolbox", "ID=debian\nVERSION_CODENAME=trixie-base\n", "", true, nil, "not known"},
		{"Go as a release of Debian", "ID=debian\nVERSION_CODENAME=go\n", "", true, nil, "not known"},
		{"Go from its repository", "ID=debian\nVERSION_CODENAME=trixie\n", "devel go1.27-abcdef Mon\n", true, []string{"trixie-base", "trixie"}, "none of Go"},
		{"Go's candidate", "ID=debian\nVERSION_CODENAME=trixie\n", "go1.27rc1\n", true, []string{"trixie-base", "trixie"}, "none of Go"},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := fstest.MapFS{}
			if test.release != "" {
				base["etc/os-release"] = &fstest.MapFile{Data: []byte(test.release)}
			}
			if test.goVersion != "" {
				base["usr/local/go/VERSION"] = &fstest.MapFile{Data: []byte(test.goVersion)}
			}
			if test.dpkg {
				base["var/lib/dpkg/status"] = &fstest.MapFile{Data: []byte("Package: a\nVersion: 1\n")}
			}
			got, err := toolbox.Detect(base.ReadFile)
			if err != nil || !slices.Equal(got.Suites, test.want) || !strings.Contains(got.Reason, test.reason) || test.reason == "" && got.Reason != "" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestDetectDamaged(t *testing.T) {
	if got, err := toolbox.Detect(fstest.MapFS{"etc/os-release/x": &fstest.MapFile{}}.ReadFile); err == nil {
		t.Errorf("os-release is a directory: got %+v", got)
	}
}

// Slots are a part of what toolboxes are made of: two suites with one would write over
// each other.
func TestSlots(t *testing.T) {
	slots := make(map[string]string)
	for _, suite := range toolbox.Suites() {
		if other := slots[suite.Slot]; other != "" || len(suite.Slot) != 1 {
			t.Errorf("%s and %s have the slot %q", other, suite.Name, suite.Slot)
		}
		slots[suite.Slot] = suite.Name
	}
	if _, err := toolbox.LookupSuite("woody"); !errors.Is(err, toolbox.ErrUnsuited) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add("ID=debian\nVERSION_CODENAME=trixie\n", "go1.26.8\n")
	f.Fuzz(func(t *testing.T, release, version string) {
		base := fstest.MapFS{
			"etc/os-release":       &fstest.MapFile{Data: []byte(release)},
			"var/lib/dpkg/status":  &fstest.MapFile{Data: []byte("x")},
			"usr/local/go/VERSION": &fstest.MapFile{Data: []byte(version)},
		}
		got, err := toolbox.Detect(base.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range got.Suites {
			recipe := toolbox.Recipe{Suite: name, Base: "debian", Platform: "linux/arm64", Host: "amd64"}
			if text, err := recipe.Dockerfile(); err != nil || strings.Count(text, "FROM ") != 4 {
				t.Errorf("the Dockerfile of %q: %v\n%s", name, err, text)
			}
		}
	})
}
