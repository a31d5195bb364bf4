package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
)

// scanner makes a Layer of a tar stream.
type scanner struct {
	limits  Limits
	budget  int64 // how far archives may inflate
	entries int

	hashes hasher
	plain  set
	known  set // paths that have records
	out    writer
	buf    []byte
}

func newScanner(limits Limits, budget int64) *scanner {
	return &scanner{limits: limits, budget: budget, buf: make([]byte, scriptSize)}
}

func (s *scanner) layer() *Layer {
	s.out.plain, s.out.plains = s.plain.sorted(), s.plain.n
	s.out.records = bytes.Clone(s.out.records)
	l := s.out.Layer
	return &l
}

func (s *scanner) scan(r io.Reader) error {
	files := tar.NewReader(r)
	for {
		hdr, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrFormat, s.entries+1, err)
		}
		if s.entries++; s.entries > s.limits.Entries {
			return limitf("more than %d entries", s.limits.Entries)
		}
		if hdr.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := s.entry(hdr, files); err != nil {
			return fmt.Errorf("entry %d, %.200q: %w", s.entries, hdr.Name, err)
		}
		if s.out.count > s.limits.Records || len(s.out.records) > maxRecordBytes {
			return limitf("more than %d programs, scripts and links", min(s.out.count, s.limits.Records))
		}
	}
}

// whiteout marks of AUFS, which the OCI specification took over.
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh."
	whiteoutOpaque = ".wh..wh..opq"
)

func (s *scanner) entry(hdr *tar.Header, body io.Reader) error {
	name, err := clean(hdr.Name)
	if err != nil || name == "" {
		return err
	}
	dir, base := path.Split(name)
	switch {
	case base == whiteoutOpaque:
		s.out.add(Entry{Path: strings.TrimSuffix(dir, "/"), Kind: Opaque})
		return nil
	case strings.HasPrefix(base, whiteoutMeta):
		return nil // AUFS's own
	case strings.HasPrefix(base, whiteoutPrefix):
		if base = strings.TrimPrefix(base, whiteoutPrefix); base == "" || base == "." || base == ".." {
			return fmt.Errorf("%w: a whiteout of nothing", ErrFormat)
		}
		s.out.add(Entry{Path: dir + base, Kind: Whiteout})
		return nil
	}
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return s.file(hdr, name, body)
	case tar.TypeDir:
		s.put(name, PlainDir)
	case tar.TypeSymlink:
		if len(hdr.Linkname) > maxText {
			return limitf("the target of a link has %d bytes", len(hdr.Linkname))
		}
		s.record(Entry{Path: name, Kind: Symlink, Text: hdr.Linkname})
	case tar.TypeLink:
		return s.link(hdr, name)
	default:
		s.put(name, PlainOther)
	}
	return nil
}

// clean returns the path as it is in the image, empty for the root.
func clean(name string) (string, error) {
	if len(name) > maxPath {
		return "", limitf("the path has %d bytes", len(name))
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("%w: a NUL in the path", ErrFormat)
	}
	cleaned := path.Clean(strings.TrimLeft(name, "/"))
	if cleaned == ".." || strings.HasPrefix(cleaned, "../") {
		return "", fmt.Errorf("%w: the path leads out of the image", ErrFormat)
	}
	if strings.Count(cleaned, "/") >= maxDepth {
		return "", limitf("the path is more than %d directories deep", maxDepth)
	}
	if cleaned == "." {
		return "", nil
	}
	return cleaned, nil
}

// put notes a path that needs no record.
func (s *scanner) put(name string, kind Plain) {
	hash := s.hashes.of(name)
	if !s.known.has(hash) {
		s.plain.add(hash, kind)
		return
	}
	e := Entry{Path: name, Kind: File, Exec: kind == PlainExec}
	if kind == PlainDir {
		e.Kind = Dir
	}
	s.out.add(e)
}

func (s *scanner) record(e Entry) {
	s.known.add(s.hashes.of(e.Path), PlainFile)
	s.out.add(e)
}

// link notes a hard link. One to a file that needs no record needs none either.
func (s *scanner) link(hdr *tar.Header, name string) error {
	s.out.Files++
	target, err := clean(hdr.Linkname)
	if err != nil {
		return fmt.Errorf("linking to %.200q: %w", hdr.Linkname, err)
	}
	if target == "" {
		return fmt.Errorf("%w: a link to the root directory", ErrFormat)
	}
	hash := HashOf(target)
	_, at, found := s.plain.find(hash)
	if found && !s.known.has(hash) {
		s.put(name, Plain(s.plain.buckets[hash>>54][at]&3))
		return nil
	}
	s.record(Entry{Path: name, Kind: Hardlink, Text: target})
	return nil
}

// file looks at the beginning of a file and says what it is.
func (s *scanner) file(hdr *tar.Header, name string, body io.Reader) error {
	s.out.Files++
	plain := PlainFile
	if hdr.Mode&0o111 != 0 {
		plain = PlainExec
	}
	head, err := s.head(s.buf[:0], body, header.Prefix)
	if err != nil {
		return err
	}
	e := Entry{Path: name, Exec: plain == PlainExec}
	switch {
	case header.Is(head):
		rest := body
		if sparse(hdr) {
			rest = nil // its size is only a number
		}
		e.Kind = ELF
		e.Header, err = header.Read(head, rest, hdr.Size)
	case bytes.HasPrefix(head, []byte("#!")):
		if head, err = s.head(head, body, scriptSize); err == nil {
			e.Kind, e.Text = Script, ParseScript(head)
		}
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) && isArchive(name) && !sparse(hdr):
		e.Members, e.Unread, err = s.archive(io.MultiReader(bytes.NewReader(head), body))
		if len(e.Members) > 0 || e.Unread {
			e.Kind = Archive
		}
	default:
		// Libraries of other systems are data here.
		if format := foreign(head); format != "" && e.Exec {
			e.Kind, e.Text = Foreign, format
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if e.Kind == 0 {
		s.put(name, plain)
		return nil
	}
	s.record(e)
	return nil
}

// head reads on until it has n bytes or all.
func (s *scanner) head(have []byte, body io.Reader, n int) ([]byte, error) {
	if len(have) == n || len(have) != 0 && len(have) < header.Prefix {
		return have, nil
	}
	read, err := io.ReadFull(body, s.buf[len(have):n])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return s.buf[:len(have)+read], nil
}

func sparse(hdr *tar.Header) bool {
	if hdr.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// foreign names the format of a program for another operating system.
func foreign(head []byte) string {
	if len(head) < 64 {
		return ""
	}
	switch string(head[:4]) {
	case "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe":
		return "Mach-O"
	case "\xca\xfe\xba\xbe":
		// Java's classes begin like this too. What follows is the number of
		// architectures in one case, a version of 45 and more in the other.
		if head[4] == 0 && head[5] == 0 && head[6] == 0 && head[7] < 45 {
			return "Mach-O"
		}
	}
	if head[0] == 'M' && head[1] == 'Z' {
		return "PE"
	}
	return ""
}
