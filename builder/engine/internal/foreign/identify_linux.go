package foreign

import (
	"path"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// identify adds build-ids from the log to the programs that the sampler saw, where
// only one program comes into question. The log has the ends of paths, the sampler
// paths or names.
func identify(record *dispatch.Step) {
	type key struct {
		name   string
		native bool
	}
	const ambiguous = "?"
	ids := map[key]string{}
	add := func(k key, id string) {
		if have, ok := ids[k]; ok && have != id {
			id = ambiguous
		}
		ids[k] = id
	}
	for _, exec := range record.Execs {
		native := exec.Kind == dispatch.Native
		add(key{exec.Path, native}, exec.BuildID)
		if base := path.Base(exec.Path); base != exec.Path {
			add(key{base, native}, exec.BuildID)
		}
	}
	for i, row := range record.CPU {
		name := row.Name
		if strings.HasPrefix(name, "/") {
			name = name[max(0, len(name)-maxPath):]
		}
		id, ok := ids[key{name, !row.Emulated}]
		if !ok {
			id = ids[key{path.Base(name), !row.Emulated}]
		}
		if id != ambiguous {
			record.CPU[i].BuildID = id
		}
	}
	record.CPU = joinNames(record.CPU)
}

// joinNames adds the rows of programs whose path could not be read in the moment when
// they were seen to those of the same programs with a path.
func joinNames(rows []dispatch.CPU) []dispatch.CPU {
	var joined, bare []dispatch.CPU
	for _, row := range rows {
		if strings.Contains(row.Name, "/") {
			joined = append(joined, row)
		} else {
			bare = append(bare, row)
		}
	}
	for _, row := range bare {
		at := slices.IndexFunc(joined, func(whole dispatch.CPU) bool {
			return row.BuildID != "" && row.BuildID == whole.BuildID && row.Emulated == whole.Emulated && row.Name == path.Base(whole.Name)
		})
		if at >= 0 {
			joined[at].Seconds += row.Seconds
		} else {
			joined = append(joined, row)
		}
	}
	return joined
}

// maxPath is how much of the end of a path a record has.
const maxPath = 64
