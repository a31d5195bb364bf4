package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// Way is how the engine runs programs of foreign platforms.
type Way string

// The ways. Which of them Auto is depends on the platforms that a build needs.
const (
	// Auto takes Private, or Host where only that works for every platform.
	Auto Way = "auto"
	// Private is a binfmt_misc of the engine's own with the QEMU of this machine.
	Private Way = "private"
	// Host is the host's binfmt_misc as it is.
	Host Way = "host"
	// Off is no emulation.
	Off Way = "off"
)

// ParseWay reads a [Way]; the empty string is Auto.
func ParseWay(s string) (Way, error) {
	switch way := Way(s); way {
	case "":
		return Auto, nil
	case Auto, Private, Host, Off:
		return way, nil
	}
	return "", fmt.Errorf("unknown way of emulation %q: use auto, private, host or off", s)
}

// Choose makes Auto one of the others: the first that runs all of the needed
// platforms, and Private if none does, so that the missing ones are named.
func (w Way) Choose(needed []ocispec.Platform) Way {
	if w != Auto {
		return w
	}
	return choose(needed, privateSupported(), hostHandlers(), hasQEMU)
}

func choose(needed []ocispec.Platform, private bool, host []emulation.Handler, hasQEMU func(emulation.Arch) bool) Way {
	onHost := func(arch emulation.Arch) bool {
		_, ok := arch.ServedBy(host)
		return ok
	}
	switch {
	case private && all(needed, hasQEMU):
		return Private
	case len(host) > 0 && all(needed, onHost), !private:
		return Host
	}
	return Private
}

func all(needed []ocispec.Platform, can func(emulation.Arch) bool) bool {
	return !slices.ContainsFunc(needed, func(p ocispec.Platform) bool {
		arch, err := emulation.Lookup(p)
		return err != nil || !can(arch)
	})
}

func hasQEMU(arch emulation.Arch) bool {
	_, err := arch.FindQEMU()
	return err == nil
}

// hostHandlers are the host's, none if its table cannot be read.
func hostHandlers() []emulation.Handler {
	table, err := emulation.Open(emulation.DefaultDir)
	if err != nil {
		return nil
	}
	handlers, err := table.Handlers()
	if err != nil {
		return nil
	}
	return handlers
}

// Describe says in one line how the platforms are run: "QEMU 7.2.22 for
// linux/arm64 (private handlers)". It is empty if none of them is emulated.
func (e Emulation) Describe(foreign []ocispec.Platform) string {
	byVersion := map[string][]string{}
	var versions []string
	for _, p := range foreign {
		arch, err := emulation.Lookup(p)
		if err != nil {
			continue
		}
		for _, h := range e.Handlers {
			if h.Arch != arch.Name {
				continue
			}
			if byVersion[h.Version] == nil {
				versions = append(versions, h.Version)
			}
			byVersion[h.Version] = append(byVersion[h.Version], platforms.Format(p))
		}
	}
	var parts []string
	for _, v := range versions {
		name := "QEMU " + v
		if v == "" {
			name = "handlers of unknown version"
		}
		parts = append(parts, name+" for "+strings.Join(byVersion[v], ", "))
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s)", strings.Join(parts, "; "), e.Way.handlers())
}

func (w Way) handlers() string {
	if w == Private {
		return "private handlers"
	}
	return "the host's handlers"
}
