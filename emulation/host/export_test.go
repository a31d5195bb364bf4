package host

import (
	"encoding/json"

	"github.com/mabuild/mabuild/emulation"
)

var (
	FormatConfig       = formatConfig
	ParseAdminFormat   = parseAdminFormat
	ParsePackageFormat = parsePackageFormat
	RuleName           = ruleName
	Without            = without
	WriteFile          = writeFile
)

const Marker = marker

// OwnerOf tells a handler's owner with nothing in the state.
func OwnerOf(sources Sources, h emulation.Handler) Owner {
	return readOrigins(sources, state{}).owner(h)
}

// ParseState parses a state file and writes it again.
func ParseState(text []byte) ([]byte, error) {
	s, err := parseState(text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}
