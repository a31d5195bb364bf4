package foreign

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	// headSize is how much of a file tells what it is, and the loader of a program.
	headSize = 4 << 10
	// maxNested is how many archives and compressed files are opened that are in each
	// other. A package of Debian is three: ar, gzip and tar.
	maxNested = 5
	// maxWindow is what a decoder of zstd keeps in memory: what each has to support by
	// RFC 8878.
	maxWindow = 8 << 20
)

// timed is content that cannot be read when the time is over.
type timed struct {
	io.Reader

	watch *stopwatch
	until time.Duration
}

func (t timed) Read(p []byte) (int, error) {
	if t.watch.elapsed() > t.until {
		return 0, errLate
	}
	return t.Reader.Read(p)
}

// Seek implements [io.Seeker] for what is in a file. Both readers of archives use it to
// pass over what they need not read.
func (t timed) Seek(offset int64, whence int) (int64, error) {
	if seeker, ok := t.Reader.(io.Seeker); ok {
		return seeker.Seek(offset, whence)
	}
	return 0, errors.ErrUnsupported
}

// again is content of which the head was read.
func (t timed) again(head []byte) timed {
	if _, err := t.Seek(-int64(len(head)), io.SeekCurrent); err == nil {
		return t
	}
	return timed{io.MultiReader(bytes.NewReader(head), t.Reader), t.watch, t.until}
}

// kind is what a file is, by its beginning.
type kind int

const (
	other kind = iota
	program
	arKind
	tarKind
	gzipKind
	zstdKind
)

func (s *scanner) kindOf(head []byte) kind {
	switch {
	case isProgram(head, s.machine):
		return program
	case bytes.HasPrefix(head, []byte(arMagic)):
		return arKind
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return tarKind
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return gzipKind
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return zstdKind
	}
	return other
}

// content looks at a file, or at something that is in so many others. It returns the
// name of a tool, or of the first one in it; empty if there is none.
func (s *scanner) content(name string, from io.Reader, nested int) (string, error) {
	content := timed{from, &s.watch, s.until}
	head := s.heads[nested][:]
	n, err := io.ReadFull(content, head)
	if errors.Is(err, errLate) {
		return "", err
	}
	head = head[:n]
	kind := s.kindOf(head)
	if kind == program {
		leaked, err := s.isTool(head, content.again(head))
		switch {
		case leaked:
			return name, nil
		case err == nil && nested == 0:
			s.native++
		}
		return "", err
	}
	if kind == other || nested == maxNested {
		return "", nil
	}
	leak, err := s.packed(kind, name, content.again(head), nested+1)
	if err != nil && s.watch.elapsed() > s.until {
		return "", errLate
	}
	return leak, nil // it has ended, or is damaged, which is the step's business
}

// packed looks at what is in an archive or a compressed file.
func (s *scanner) packed(kind kind, name string, from timed, nested int) (string, error) {
	switch kind {
	case arKind:
		return s.members(name, newArArchive(from), nested)
	case tarKind:
		return s.members(name, tarArchive{tar.NewReader(from)}, nested)
	case gzipKind:
		unpacked := &s.gzips[nested-1]
		if err := unpacked.Reset(from); err != nil {
			return "", err
		}
		return s.content(name, unpacked, nested)
	default:
		unpacked, err := zstd.NewReader(from,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return "", err
		}
		defer unpacked.Close()
		return s.content(name, unpacked, nested)
	}
}

// archive has members, of which one can be read at a time.
type archive interface {
	io.Reader
	// next goes to the next one. Its error is io.EOF if there is none.
	next() (name string, err error)
}

// members looks at those of an archive until one is a tool: the archive is one, then.
func (s *scanner) members(name string, members archive, nested int) (string, error) {
	for {
		member, err := members.next()
		if err != nil {
			return "", err
		}
		leak, err := s.content(name+": "+member[:min(len(member), maxName)], members, nested)
		if leak != "" || err != nil {
			return leak, err
		}
	}
}

// tarArchive is an archive of tar.
type tarArchive struct{ *tar.Reader }

func (t tarArchive) next() (string, error) {
	member, err := t.Next()
	if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
		return "", err
	}
	return member.Name, nil
}
