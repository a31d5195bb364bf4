package output

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tonistiigi/fsutil"
)

// Names of records in an archive that are not files of their own.
const (
	xattrRecord  = "SCHILY.xattr."
	sparseRecord = "GNU.sparse."
)

// unpacker writes the files of an archive. It has no more of it in memory than the
// directories that lead to the present file.
type unpacker struct {
	archive  *wholeReader
	dirs     []openDir // each in the one before it; the first one is that of the archive
	buffer   []byte
	uid, gid int // of all files: who unpacks them
}

// openDir is a directory whose files are coming.
type openDir struct {
	name   string // in the archive
	header *tar.Header
	root   fsutil.Root
}

// untar unpacks an archive into a directory, with the outcome of BuildKit's local
// exporter: everything belongs to the user, and keeps its mode and time. It takes what
// BuildKit writes, in which a directory comes right before all that is in it, and
// nothing twice. So nothing is ever written through a link of the archive.
func untar(dir string, archive io.Reader) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	u := &unpacker{
		archive: newWholeReader(bufio.NewReaderSize(archive, 64<<10)), dirs: []openDir{{root: fsutil.NewRoot(root)}}, buffer: make([]byte, 64<<10),
		uid: os.Getuid(), gid: os.Getgid(),
	}
	defer func() {
		for _, d := range slices.Backward(u.dirs) {
			err = errors.Join(err, d.root.Close())
		}
	}()
	for {
		header, err := u.archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the archive of the files: %w", err)
		}
		if err := u.add(header); err != nil {
			return fmt.Errorf("unpacking %q: %w", header.Name, err)
		}
	}
	if err := u.enter(""); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, u.archive.in) // who writes is not to fail at what fills up the last block
	return err
}

// wholeReader reads an archive that has its end.
type wholeReader struct {
	*tar.Reader
	in *endReader
}

func newWholeReader(archive io.Reader) *wholeReader {
	in := &endReader{reader: archive}
	return &wholeReader{tar.NewReader(in), in}
}

// Next returns [io.ErrUnexpectedEOF] where an archive was cut off, also between files.
func (r *wholeReader) Next() (*tar.Header, error) {
	header, err := r.Reader.Next()
	if errors.Is(err, io.EOF) && r.in.ended {
		err = io.ErrUnexpectedEOF
	}
	return header, err
}

// endReader remembers that it was read to the end, before which an archive ends.
type endReader struct {
	reader io.Reader
	ended  bool
}

func (r *endReader) Read(p []byte) (int, error) {
	n, err := r.reader.Read(p)
	r.ended = r.ended || errors.Is(err, io.EOF)
	return n, err
}

// add unpacks one entry.
func (u *unpacker) add(header *tar.Header) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name := strings.TrimSuffix(header.Name, "/")
	if name == "." || path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)) || filepath.ToSlash(name) != name {
		return errors.New("the name of a file in the archive leads out of it, or is none on this system")
	}
	for record := range header.PAXRecords {
		if strings.HasPrefix(record, sparseRecord) {
			return errors.New("the archive has a file with holes, which BuildKit does not write")
		}
	}
	dir, base := path.Split(name)
	if err := u.enter(strings.TrimSuffix(dir, "/")); err != nil {
		return err
	}
	parent := u.dirs[len(u.dirs)-1].root
	switch header.Typeflag {
	case tar.TypeDir:
		return u.addDir(parent, name, base, header)
	case tar.TypeLink: // has the mode and the time of the file that it leads to
		return u.dirs[0].root.Link(filepath.FromSlash(header.Linkname), filepath.FromSlash(name))
	}
	if err := u.create(parent, base, header); err != nil {
		return err
	}
	return u.describe(parent, base, header)
}

// enter leaves the directories that the next file is not in. Their modes and times are
// set now that nothing comes into them any more.
func (u *unpacker) enter(dir string) error {
	for len(u.dirs) > 1 {
		last := u.dirs[len(u.dirs)-1]
		if last.name == dir || strings.HasPrefix(dir, last.name+"/") {
			break
		}
		u.dirs = u.dirs[:len(u.dirs)-1]
		parent := u.dirs[len(u.dirs)-1].root
		if err := errors.Join(last.root.Close(), u.describe(parent, path.Base(last.name), last.header)); err != nil {
			return fmt.Errorf("unpacking %q: %w", last.name, err)
		}
	}
	if u.dirs[len(u.dirs)-1].name != dir {
		return errors.New("the archive has a file that does not follow its directory")
	}
	return nil
}

// addDir makes a directory, to which the user can write for now.
func (u *unpacker) addDir(parent fsutil.Root, name, base string, header *tar.Header) error {
	if err := parent.Mkdir(base, 0o700); err != nil {
		return err
	}
	root, err := parent.OpenRoot(base)
	if err != nil {
		return err
	}
	u.dirs = append(u.dirs, openDir{name: name, header: header, root: fsutil.NewRoot(root)})
	return nil
}

// create makes what is not a directory, and was not there.
func (u *unpacker) create(parent fsutil.Root, base string, header *tar.Header) error {
	switch header.Typeflag {
	case tar.TypeReg:
		file, err := parent.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		// The file would read with a new buffer each time.
		_, err = io.CopyBuffer(struct{ io.Writer }{file}, u.archive, u.buffer)
		return errors.Join(err, file.Close())
	case tar.TypeSymlink:
		return parent.Symlink(filepath.FromSlash(header.Linkname), base)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		mode, device := node(header)
		return parent.Mknod(base, mode, device)
	default:
		return fmt.Errorf("the archive has a file of the type %q, which BuildKit does not write", header.Typeflag)
	}
}

// describe sets everything about a file but its content.
func (u *unpacker) describe(parent fsutil.Root, base string, header *tar.Header) error {
	if header.Typeflag == tar.TypeReg || header.Typeflag == tar.TypeDir {
		for record, value := range header.PAXRecords {
			if attribute, ok := strings.CutPrefix(record, xattrRecord); ok {
				// Few file systems and users can have all of an image's.
				_ = parent.LSetxattr(base, attribute, []byte(value), 0)
			}
		}
	}
	if u.uid >= 0 { // there are users with numbers on this system
		// The group would be the directory's if that says so. It takes bits of the mode away.
		if err := parent.Lchown(base, u.uid, u.gid); err != nil {
			return err
		}
	}
	if header.Typeflag == tar.TypeSymlink {
		return parent.LChtimes(base, header.ModTime)
	}
	if err := parent.Chmod(base, header.FileInfo().Mode()); err != nil {
		return err
	}
	return parent.Chtimes(base, header.ModTime, header.ModTime)
}
