package engine

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// IDRange is idRange.
type IDRange = idRange

// ParseSubIDs is parseSubIDs.
func ParseSubIDs(text []byte, name, id string) (IDRange, bool) { return parseSubIDs(text, name, id) }

// ParseIDMap is parseIDMap.
func ParseIDMap(text []byte) []IDRange { return parseIDMap(text) }

// ChooseWay is choose.
func ChooseWay(needed []ocispec.Platform, private bool, host []emulation.Handler, hasQEMU func(emulation.Arch) bool) Way {
	return choose(needed, private, host, hasQEMU)
}
