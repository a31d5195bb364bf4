package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// mappedFD tells the supervisor of an ordinary user's engine that its id map is
// written: the second of exec.Cmd.ExtraFiles.
const mappedFD = 4

// awaitMapFlag makes the supervisor wait for its id map.
const awaitMapFlag = "--await-map"

// idMode is how the engine gets the ids that images use.
type idMode string

const (
	// identityIDs is root's: every id is itself.
	identityIDs idMode = "identity"
	// subordinateIDs is an ordinary user's with a range in /etc/subuid.
	subordinateIDs idMode = "subordinate"
	// singleID has root alone: files of other owners cannot be made.
	singleID idMode = "single"
)

// planIDs finds out which map the caller can have. The reason says why it is not
// better than single.
func planIDs() (mode idMode, m mapping, reason string) {
	if os.Geteuid() == 0 {
		return identityIDs, m, ""
	}
	m.uid, m.gid = uint32(os.Geteuid()), uint32(os.Getegid())
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return singleID, m, tool + " is not installed"
		}
	}
	name := ""
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		name = u.Username
	}
	for _, file := range []struct {
		path string
		into *idRange
	}{{"/etc/subuid", &m.uids}, {"/etc/subgid", &m.gids}} {
		text, err := os.ReadFile(file.path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return singleID, m, err.Error()
		}
		found, ok := parseSubIDs(text, name, strconv.Itoa(os.Geteuid()))
		if !ok {
			return singleID, m, fmt.Sprintf("%s has no range for %s", file.path, name)
		}
		*file.into = found
	}
	return subordinateIDs, m, ""
}

// singleIDHint is what a user can do against single-id mode.
func singleIDHint() string {
	return "For the whole range: apt-get install uidmap, and as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER"
}

// attributes are the namespaces of the engine: a user namespace, so that the kernel
// lets it have its own binfmt_misc, a mount namespace to put that in, and a PID
// namespace, so that nothing outlives the engine.
func attributes(mode idMode, m mapping) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		// The session must not end with the terminal that started the engine.
		Setsid: true,
	}
	switch mode {
	case identityIDs:
		attr.UidMappings, attr.GidMappings = identityMap("/proc/self/uid_map"), identityMap("/proc/self/gid_map")
		attr.GidMappingsEnableSetgroups = true
	case singleID:
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(m.uid), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(m.gid), Size: 1}}
	}
	return attr
}

// identityMap maps every id that this process's namespace has to itself. In a
// container these are fewer than all.
func identityMap(file string) []syscall.SysProcIDMap {
	text, err := os.ReadFile(file)
	if err != nil { // a kernel without user namespaces, which the start will tell
		return nil
	}
	var maps []syscall.SysProcIDMap
	for _, r := range parseIDMap(text) {
		maps = append(maps, syscall.SysProcIDMap{ContainerID: int(r.Start), HostID: int(r.Start), Size: int(r.Count)})
	}
	return maps
}

// write maps the ids of a started supervisor with the setuid tools of uidmap, which
// check /etc/subuid.
func (m mapping) write(pid int) error {
	for _, call := range []struct {
		tool string
		args []string
	}{
		{"newuidmap", m.uids.arguments(pid, m.uid)},
		{"newgidmap", m.gids.arguments(pid, m.gid)},
	} {
		out, err := exec.Command(call.tool, call.args...).CombinedOutput() //nolint:noctx // milliseconds
		if err != nil {
			return &Error{
				Op:   "mapping the ids of the engine's user namespace",
				Err:  fmt.Errorf("%s: %w: %s", call.tool, err, bytes.TrimSpace(out)),
				Hint: "newuidmap and newgidmap must be setuid root or have file capabilities: reinstall the package uidmap.",
			}
		}
	}
	return nil
}

// awaitMap blocks until the map is written and starts the program again: the first
// exec happened with an id that had no meaning, so the kernel dropped the
// capabilities that root of a user namespace has.
func awaitMap() error {
	mapped := os.NewFile(mappedFD, "mapped")
	word, err := io.ReadAll(mapped)
	if err != nil || string(word) != mappedWord {
		return errors.New("the process that starts the engine went away")
	}
	if err := mapped.Close(); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", without(os.Args, awaitMapFlag), os.Environ())
}

// mappedWord is what comes through mappedFD; a closed pipe without it is a failure.
const mappedWord = "mapped"
