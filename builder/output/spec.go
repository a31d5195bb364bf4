package output

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tonistiigi/go-csvvalue"
)

// Type is a kind of output.
type Type string

// The types that [Parse] knows.
const (
	Image  Type = "image"
	OCI    Type = "oci"
	Docker Type = "docker"
	Local  Type = "local"
	Tar    Type = "tar"
	// CacheOnly leaves the result in BuildKit's cache and nowhere else.
	CacheOnly Type = "cacheonly"
)

// Stdout is the destination that means standard output.
const Stdout = "-"

// Spec is one output as a user asked for it. The zero value is an image for the
// image store.
type Spec struct {
	Type Type // empty is Image
	// Names are references that an image gets besides those of -t.
	Names []string
	// Push sends an image to the registries of its names.
	Push bool
	// ByDigest pushes without writing a tag.
	ByDigest bool
	// Dest is a file, a directory or [Stdout]. A Docker image without one goes into a
	// running Docker.
	Dest string
	// Context is the docker context of that Docker; empty is the current one.
	Context string
	// Directory asks for an OCI layout in a directory instead of an archive.
	Directory bool
	// Split gives each platform a directory of its own among files. Nil: if there are
	// several.
	Split *bool
	// Annotations are those of an image, as in --annotation: TYPE[PLATFORM]:NAME=VALUE.
	Annotations []string
	// Attrs are passed to BuildKit's exporter.
	Attrs map[string]string
}

// ErrSpec is the error of [Parse].
var ErrSpec = errors.New("invalid output")

// Parse reads one -o value.
func Parse(value string) (Spec, error) {
	spec, err := parse(value)
	if err != nil {
		return Spec{}, fmt.Errorf("%w %q: %w", ErrSpec, value, err)
	}
	return spec, nil
}

func parse(value string) (Spec, error) {
	if strings.TrimSpace(value) == "" {
		return Spec{}, errors.New("it is empty: use a directory, or type=image, oci, docker, local or tar")
	}
	fields, err := csvvalue.Fields(value, nil)
	if err != nil {
		return Spec{}, fmt.Errorf("%w; write key=value,key=value and put a pair that has a comma in double quotes", err)
	}
	if len(fields) == 1 && fields[0] == Stdout {
		return Spec{Type: Tar, Dest: Stdout}, nil
	}
	spec := Spec{Attrs: map[string]string{}}
	if len(fields) == 1 && fields[0] != "" && !strings.Contains(fields[0], "=") {
		spec.Type, spec.Dest = Local, fields[0]
		return spec, spec.check()
	}
	for _, field := range fields {
		key, val, ok := strings.Cut(field, "=")
		if !ok {
			return Spec{}, fmt.Errorf("%q is not key=value; write dest=PATH for a file or directory", field)
		}
		name := strings.ToLower(strings.TrimSpace(key))
		if strings.HasPrefix(name, "annotation") {
			err = spec.annotate(strings.TrimSpace(key), val)
		} else {
			err = spec.set(name, val)
		}
		if err != nil {
			return Spec{}, err
		}
	}
	return spec, spec.check()
}

func (s *Spec) set(key, val string) (err error) {
	switch key {
	case "type":
		switch s.Type = Type(val); s.Type {
		case "registry":
			s.Type, s.Push = Image, true
		case Image, OCI, Docker, Local, Tar, CacheOnly:
		default:
			return fmt.Errorf("unknown type %q: use image, registry, oci, docker, local, tar or cacheonly", val)
		}
	case "name":
		for name := range strings.SplitSeq(val, ",") {
			if name = strings.TrimSpace(name); name == "" {
				return errors.New("a name is empty: write name=REGISTRY/NAME:TAG, or leave it away")
			}
			s.Names = append(s.Names, name)
		}
	case "dest":
		s.Dest = val
	case "push":
		s.Push, err = parseBool(key, val)
	case "tar":
		var tar bool
		tar, err = parseBool(key, val)
		s.Directory = !tar
	case "context":
		s.Context = val
	case "platform-split":
		var split bool
		split, err = parseBool(key, val)
		s.Split = &split
	default:
		return s.setImage(key, val)
	}
	return err
}

func (s *Spec) check() error {
	if err := s.checkType(); err != nil {
		return err
	}
	if err := s.checkAttrs(); err != nil {
		return err
	}
	switch {
	case s.Directory && s.Type != OCI:
		return errors.New("tar=false is for type=oci; leave it away")
	case s.Split != nil && s.Type != Local && s.Type != Tar:
		return errors.New("platform-split is for the files of type=local and type=tar; leave it away")
	case s.Context != "" && (s.Type != Docker || s.Dest != ""):
		return errors.New("context is the docker context into which type=docker without dest loads; leave it away")
	case s.ByDigest && !s.Push:
		return errors.New("push-by-digest=true is for what is pushed: use type=registry, or add push=true")
	}
	if clean := filepath.Clean(s.Dest); s.Dest != "" && clean != Stdout { // ./- is a file
		s.Dest = clean
	}
	return nil
}

func (s *Spec) checkType() error {
	switch s.Type {
	case "":
		return errors.New("the type is missing: add type=image, oci, docker, local or tar")
	case Image:
		if s.Dest != "" {
			return errors.New("type=image has no dest; use type=oci for a file")
		}
	case Docker:
		if s.Push {
			return errors.New("type=docker cannot be pushed; use type=registry, or mabuild push")
		}
	case OCI:
		if s.Push {
			return errors.New("type=oci cannot be pushed; use type=registry, or mabuild push")
		}
		if s.Dest == "" {
			s.Dest = Stdout
		}
		if s.Directory && s.Dest == Stdout {
			return errors.New("tar=false writes a directory: add dest=DIR")
		}
	case CacheOnly:
		if len(s.Attrs) > 0 || len(s.Names) > 0 || len(s.Annotations) > 0 || s.Push || s.Dest != "" {
			return errors.New("type=cacheonly delivers nothing: leave everything else away")
		}
	case Local, Tar:
		if len(s.Attrs) > 0 || len(s.Names) > 0 || len(s.Annotations) > 0 || s.Push || s.ByDigest {
			return fmt.Errorf("type=%s writes files, not an image: leave everything but dest away", s.Type)
		}
		if s.Type == Tar && s.Dest == "" {
			s.Dest = Stdout
		}
		if s.Dest == "" {
			return errors.New("type=local writes a directory: add dest=DIR")
		}
		if s.Type == Local && s.Dest == Stdout {
			return errors.New("type=local needs a directory; use type=tar,dest=- for standard output")
		}
	}
	return nil
}

func parseBool(key, val string) (bool, error) {
	b, err := strconv.ParseBool(val)
	if err != nil {
		return false, fmt.Errorf("%s=%s is neither true nor false; write %s=true or %s=false", key, val, key, key)
	}
	return b, nil
}
