package foreign

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// Inject puts the stub into copies of the QEMUs, given by QEMU's names of their
// architectures, and returns where the copies are: in directories of their own below
// dir, each under the name that QEMU's packages use. Version identifies the stub. A
// copy is made once for a QEMU and a version; what is in dir for others is removed,
// so that two processes must not use one dir.
//
// A QEMU that cannot have the stub is left out; the error says why, for all of them,
// and does not concern the others. On a machine that the stub is not made for, there
// are no copies and no error.
func Inject(dir, version string, qemus map[string]string) (map[string]string, error) {
	var mu sync.Mutex
	injected, errs := map[string]string{}, []error(nil)
	if !dispatch.Supported() {
		return injected, nil
	}
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for _, arch := range slices.Sorted(maps.Keys(qemus)) {
		group.Go(func() error {
			path, err := injectOne(dir, version, arch, qemus[arch])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("preparing %s for native tools: %w", qemus[arch], err))
				return nil
			}
			injected[arch] = path
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return injected, errors.Join(append(errs, sweep(dir, injected))...)
}

func injectOne(dir, version, arch, qemu string) (string, error) {
	stamp, err := stampOf(qemu)
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(version + "\x00" + qemu + "\x00" + stamp))
	home := filepath.Join(dir, hex.EncodeToString(key[:16])+"-"+arch)
	path := filepath.Join(home, "qemu-"+arch+"-static")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	// Never into the file that is executed: it may be registered and busy, and an
	// engine that ends here leaves no half of one.
	part := path + ".part"
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	if err := writeInjected(part, qemu); err != nil {
		return "", errors.Join(err, os.RemoveAll(part))
	}
	return path, os.Rename(part, path)
}

// writeInjected lets the kernel copy the file, which takes half the time: a new state
// has six of them, and its first build waits.
func writeInjected(path, qemu string) (err error) {
	source, err := os.Open(qemu)
	if err != nil {
		return err
	}
	defer source.Close()
	body, release, err := mapped(source)
	if err != nil {
		return err
	}
	defer release()
	patches, err := dispatch.Patches(body)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(file, source); err != nil {
		return err
	}
	for _, p := range patches {
		if _, err := file.WriteAt(p.Bytes, p.Offset); err != nil {
			return err
		}
	}
	return nil
}

// stampOf changes when a file is replaced or written to: nothing sets back the time
// of its last change.
func stampOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("reading the state of %s: unknown kind of file system", path)
	}
	return fmt.Sprint(stat.Dev, stat.Ino, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano()), nil
}

// mapped is a file's content without a copy in memory.
func mapped(file *os.File) (body []byte, release func(), err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	const most = 1 << 30 // a QEMU has 13 MB
	if !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > most {
		return nil, nil, fmt.Errorf("reading %s: it has %d bytes", file.Name(), info.Size())
	}
	body, err = unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", file.Name(), err)
	}
	return body, func() { _ = unix.Munmap(body) }, nil
}

// sweep removes copies that are not in use any more.
func sweep(dir string, inUse map[string]string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, path := range inUse {
		keep[filepath.Base(filepath.Dir(path))] = true
	}
	var errs []error
	for _, entry := range entries {
		if !keep[entry.Name()] {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}
