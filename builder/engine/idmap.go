package engine

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// idRange is a range of subordinate ids, a line of /etc/subuid, subuid(5).
type idRange struct {
	Start, Count uint32
}

// parseSubIDs returns the largest range of the user, by name or number. Lines that
// are not three fields, or whose numbers are none, are skipped, as shadow-utils does.
func parseSubIDs(text []byte, name, id string) (idRange, bool) {
	var best idRange
	scan := bufio.NewScanner(bytes.NewReader(text))
	for scan.Scan() {
		fields := strings.Split(strings.TrimSpace(scan.Text()), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != id || fields[0] == "" {
			continue
		}
		start, errStart := strconv.ParseUint(fields[1], 10, 32)
		count, errCount := strconv.ParseUint(fields[2], 10, 32)
		if errStart != nil || errCount != nil || start == 0 || start+count > maxIDs {
			continue
		}
		if r := (idRange{uint32(start), uint32(count)}); r.Count > best.Count {
			best = r
		}
	}
	return best, best.Count > 0
}

// parseIDMap returns the ids of /proc/PID/uid_map as they are inside the namespace.
// Root is a range of its own: runc before 1.3 takes the single line "0 0 4294967295"
// for the initial namespace and then insists on device cgroups, which it may not set.
func parseIDMap(text []byte) []idRange {
	var ranges []idRange
	scan := bufio.NewScanner(bytes.NewReader(text))
	for scan.Scan() {
		var r idRange
		var outside uint32
		if n, _ := fmt.Sscan(scan.Text(), &r.Start, &outside, &r.Count); n != 3 || r.Count == 0 {
			continue
		}
		if r.Start == 0 {
			ranges = append(ranges, idRange{0, 1})
			r = idRange{1, r.Count - 1}
		}
		if r.Count > 0 {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// maxIDs is the whole range of uid_t less the reserved -1, user_namespaces(7).
const maxIDs = 1<<32 - 1

// mapping is how ids inside the engine's namespace stand for ids outside: root for
// the user, and what follows for a subordinate range.
type mapping struct {
	uid, gid   uint32
	uids, gids idRange
}

// arguments of newuidmap(1) and newgidmap(1).
func (r idRange) arguments(pid int, own uint32) []string {
	return strings.Fields(fmt.Sprintf("%d 0 %d 1 1 %d %d", pid, own, r.Start, r.Count))
}
