package tools

import (
	"errors"
	"net"
	"strings"

	"github.com/mabuild/mabuild/builder/registry"
)

// The errors of this package, to be tested with [errors.Is].
var (
	// ErrMissing: a tool is not on PATH, and images are not to be used.
	ErrMissing = errors.New("not found on PATH")
	// ErrOffline: a tool has to come from an image whose registry cannot be
	// reached, or must not be asked.
	ErrOffline = errors.New("the registry is out of reach")
	// ErrPlatform: the image has nothing for this machine's platform.
	ErrPlatform = errors.New("the image has no such platform")
	// ErrNotInImage: the image has no such file.
	ErrNotInImage = errors.New("not in the image")
	// ErrDigest: content is not what its digest or the lock file says.
	ErrDigest = errors.New("not what its digest says")
	// ErrTampered: a file in the cache was changed after it had been put there.
	ErrTampered = errors.New("changed since it was put into the cache")
	// ErrUnusable: the file is no program that this machine can run in the
	// tool's place.
	ErrUnusable = errors.New("not usable")
	// ErrLock: the lock file cannot be understood.
	ErrLock = errors.New("not a valid lock file")
)

// Error is the error of [Find]. Its message ends in the hint, if there is one.
type Error struct {
	Op   string // what was being done, as a gerund: "getting qemu-arm from IMAGE"
	Err  error  // wraps one of the sentinels above where one applies
	Hint string // what to do about it; may be empty
}

func (e *Error) Error() string {
	text := e.Op + ": " + e.Err.Error()
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// unreachable reports whether err says that a registry gave no answer at all.
func unreachable(err error) bool {
	var answer *registry.Error
	if errors.As(err, &answer) && answer.Status != 0 {
		return false
	}
	// A request that got no answer has a cause that errors.As doesn't see.
	var broken interface {
		error
		Cause() error
	}
	if errors.As(err, &broken) {
		err = broken.Cause()
	}
	var network net.Error
	return errors.As(err, &network)
}

// wrongContent reports whether err is a registry client's complaint about content
// that isn't what its digest says.
func wrongContent(err error) bool { return errors.Is(err, registry.ErrDigest) }

// installHint says how the tools get onto PATH.
func installHint(wants []want) string {
	var packages []string
	for _, w := range wants {
		name := "runc"
		if w.arch != nil {
			name = "qemu-user-static"
		}
		if len(packages) == 0 || packages[len(packages)-1] != name {
			packages = append(packages, name)
		}
	}
	return "run `apt-get install " + strings.Join(packages, " ") + "`"
}

// offlineHint says how to do without an image's registry.
func offlineHint(wants []want) string {
	return installHint(wants) + ", or name an image that this machine can fetch: " + imageHint(wants)
}

// imageHint says how another image is named for the tools.
func imageHint(wants []want) string {
	var flags []string
	for _, w := range wants {
		flag := "--tools-image runc=HOST/NAME:TAG"
		if w.arch != nil {
			flag = "--tools-image HOST/NAME:TAG"
		}
		if len(flags) == 0 || flags[len(flags)-1] != flag {
			flags = append(flags, flag)
		}
	}
	return strings.Join(flags, " ")
}

// names lists tools for messages: "qemu-arm, qemu-s390x and runc".
func names(wants []want) string {
	list := make([]string, len(wants))
	for i, w := range wants {
		list[i] = w.name
	}
	if last := len(list) - 1; last > 0 {
		return strings.Join(list[:last], ", ") + " and " + list[last]
	}
	return strings.Join(list, "")
}
