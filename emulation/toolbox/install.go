package toolbox

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Install takes a toolbox in from a tar, as BuildKit's exporter "tar" writes it, and
// makes it the current one of its suite. With a digest, it has to be that one.
// Nothing is installed of a toolbox that is damaged or hostile: one with links,
// devices, names outside, files that its box.json does not list or that differ.
func (s *Store) Install(ctx context.Context, archive io.Reader, digest string) (Installed, error) {
	// The archive begins when the toolbox is built; until then others use the store.
	buffered := bufio.NewReader(archive)
	_, _ = buffered.Peek(1) // an error comes again
	return s.install(ctx, digest, func(in *intake) error { return in.tar(ctx, buffered) })
}

// InstallDir is [Store.Install] for a directory.
func (s *Store) InstallDir(ctx context.Context, dir, digest string) (Installed, error) {
	return s.install(ctx, digest, func(in *intake) error { return in.walk(ctx, dir) })
}

func (s *Store) install(ctx context.Context, digest string, take func(*intake) error) (Installed, error) {
	var installed Installed
	err := s.change(ctx, func() error {
		dir, err := os.MkdirTemp(s.path(boxesDir), unfinished)
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		in := &intake{dir: dir, files: make(map[string]File)}
		if err := take(in); err != nil {
			return err
		}
		box, got, err := in.check()
		if err != nil {
			return err
		}
		if digest != "" && digest != got {
			return fmt.Errorf("%w: it is %s and not %s", ErrDamaged, got, digest)
		}
		if err := s.place(dir, got); err != nil {
			return err
		}
		installed = Installed{Digest: got, Time: time.Now(), Box: box}
		return s.refresh(box.Arch)
	})
	if err != nil {
		return Installed{}, &Error{Op: "installing a toolbox", Err: err, Hint: "Nothing was installed; steps run as before."}
	}
	return installed, nil
}

// place gives a whole toolbox its name. One that is there already is replaced, which
// mends it if it was damaged.
func (s *Store) place(dir, digest string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chtimes(dir, time.Time{}, time.Now()); err != nil {
		return err
	}
	final := s.path(boxesDir, digest)
	if err := removeWhole(final); err != nil {
		return err
	}
	return os.Rename(dir, final)
}

// intake takes the files of a toolbox into a directory, and remembers what came.
type intake struct {
	dir   string
	files map[string]File
	size  int64
	box   []byte
}

func (in *intake) tar(ctx context.Context, archive io.Reader) error {
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		name := strings.TrimPrefix(header.Name, "./")
		switch header.Typeflag {
		case tar.TypeDir:
			continue
		case tar.TypeReg:
			if err := in.add(name, fs.FileMode(header.Mode), header.Size, reader); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: %q is a link or a device", ErrDamaged, name)
		}
	}
}

func (in *intake) walk(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %q is a link or a device", ErrDamaged, name)
		}
		file, err := root.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		return in.add(name, info.Mode(), info.Size(), file)
	})
}

// add writes a file. It holds the sender to nothing but what keeps this machine safe;
// [intake.check] does the rest.
func (in *intake) add(name string, mode fs.FileMode, size int64, content io.Reader) error {
	if _, double := in.files[name]; double || !isInside(name) || strings.Count(name, "/") > 8 {
		return fmt.Errorf("%w: a file %q", ErrDamaged, name)
	}
	if in.size += size; size < 0 || in.size > maxSize || len(in.files) > maxFiles || name == BoxName && size > maxBox {
		return fmt.Errorf("%w: it is too large", ErrDamaged)
	}
	target := filepath.Join(in.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	written, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(content, size))
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if written != size {
		return fmt.Errorf("%w: %s ends early", ErrDamaged, name)
	}
	if name == BoxName {
		in.box, err = os.ReadFile(target)
		mode = 0o644
	}
	in.files[name] = File{Path: name, Mode: mode.Perm(), Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}
	return errors.Join(err, os.Chmod(target, mode.Perm()&0o755), os.Chtimes(target, time.Unix(0, 0), time.Unix(0, 0)))
}

// check compares what came with what the toolbox says of itself.
func (in *intake) check() (*Box, string, error) {
	if in.box == nil {
		return nil, "", fmt.Errorf("%w: it has no %s", ErrDamaged, BoxName)
	}
	box, err := ParseBox(in.box)
	if err != nil {
		return nil, "", err
	}
	for _, want := range box.Files {
		if got, ok := in.files[want.Path]; !ok || got != want {
			return nil, "", fmt.Errorf("%w: %s is missing or another one", ErrDamaged, want.Path)
		}
	}
	if len(in.files) != len(box.Files)+1 {
		return nil, "", fmt.Errorf("%w: it has files that its %s does not list", ErrDamaged, BoxName)
	}
	return box, digestOf(in.box), in.closeDirs(box)
}

// closeDirs makes the directories readable for everybody, whatever the umask is.
func (in *intake) closeDirs(box *Box) error {
	dirs := map[string]bool{}
	for _, file := range box.Files {
		for dir := path.Dir(file.Path); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		if err := os.Chmod(filepath.Join(in.dir, filepath.FromSlash(dir)), 0o755); err != nil {
			return err
		}
	}
	return nil
}
