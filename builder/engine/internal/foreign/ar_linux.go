package foreign

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// The format of ar: a line, and for each member a header of text and as many bytes as
// that says, to an even number.
const (
	arMagic  = "!<arch>\n"
	arHeader = 60
	// maxTable bounds the member that has the long names.
	maxTable = 1 << 20
)

var errNoArchive = errors.New("it is no archive of ar")

// arArchive is an archive of ar, with names as GNU and BSD write them.
type arArchive struct {
	io.LimitedReader // of the member

	from  timed
	odd   int64  // what is behind the member
	table []byte // of long names
}

// newArArchive returns the archive whose first member is the line that it begins with.
func newArArchive(from timed) *arArchive {
	return &arArchive{LimitedReader: io.LimitedReader{R: from, N: int64(len(arMagic))}, from: from}
}

func (a *arArchive) next() (string, error) {
	if err := a.skip(a.N + a.odd); err != nil {
		return "", err
	}
	var header [arHeader]byte
	if _, err := io.ReadFull(a.from, header[:]); err != nil {
		return "", err
	}
	size, err := strconv.ParseUint(strings.TrimRight(string(header[48:58]), " "), 10, 62)
	if err != nil || string(header[58:]) != "`\n" {
		return "", errNoArchive
	}
	a.N, a.odd = int64(size), int64(size%2)
	name := strings.TrimRight(string(header[:16]), " ")
	if name == "//" {
		a.table, err = io.ReadAll(io.LimitReader(a, maxTable))
		return name, err
	}
	if length, ok := strings.CutPrefix(name, "#1/"); ok { // BSD: it begins with its name
		n, err := strconv.ParseUint(length, 10, 62)
		if err != nil || n > maxName {
			return "", errNoArchive
		}
		long := make([]byte, n)
		_, err = io.ReadFull(a, long)
		return strings.TrimRight(string(long), "\x00"), err
	}
	if at, err := strconv.ParseUint(strings.TrimPrefix(name, "/"), 10, 62); err == nil && at < uint64(len(a.table)) && name[0] == '/' {
		long, _, _ := bytes.Cut(a.table[at:], []byte("\n"))
		name = string(long)
	}
	return strings.TrimSuffix(name, "/"), nil
}

// skip passes over what nobody wants to read.
func (a *arArchive) skip(n int64) error {
	if _, err := a.from.Seek(n, io.SeekCurrent); err == nil {
		return nil
	}
	_, err := io.CopyN(io.Discard, a.from, n)
	return err
}
