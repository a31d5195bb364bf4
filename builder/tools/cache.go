package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/containerd/platforms"
	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// lockPoll is how often a waiting process tries a flock again; flock(2) cannot
// be waited for with a deadline.
const lockPoll = 50 * time.Millisecond

// workPattern names the folders of running downloads.
const workPattern = "tmp-*"

// cache is the folder of the tools:
//
//	tools.lock.json            what the tools are
//	sha256/MANIFEST/qemu-arm   a tool from the image with that manifest
//	tmp-*                      downloads; leftovers are removed by the next one
//	flock                      held while anything is added
type cache struct{ dir string }

func (c cache) lockFile() string { return filepath.Join(c.dir, LockFile) }

func (c cache) file(manifest digest.Digest, name string) string {
	return filepath.Join(c.dir, manifest.Algorithm().String(), manifest.Encoded(), name)
}

// readLock reads the lock file, which is replaced as a whole: no flock is needed.
func (c cache) readLock() (lock, error) {
	file, err := os.Open(c.lockFile())
	if errors.Is(err, fs.ErrNotExist) {
		return lock{Version: lockVersion}, nil
	}
	if err != nil {
		return lock{}, fmt.Errorf("opening the lock file of the tools: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxLock+1))
	if err != nil {
		return lock{}, fmt.Errorf("reading the lock file of the tools: %w", err)
	}
	l, err := parseLock(text)
	if err != nil {
		return lock{}, &Error{
			Op: "reading " + c.lockFile(), Err: err,
			Hint: "remove it to take the tools anew from what their tags name now",
		}
	}
	return l, nil
}

// writeLock replaces the lock file.
func (c cache) writeLock(l lock) error {
	text, err := l.encode()
	if err != nil {
		return fmt.Errorf("writing the lock file of the tools: %w", err)
	}
	file, err := os.CreateTemp(c.dir, workPattern)
	if err != nil {
		return fmt.Errorf("writing the lock file of the tools: %w", err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), c.lockFile())
	}
	if err != nil {
		return fmt.Errorf("writing the lock file of the tools: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// take adds to found what the cache has, and returns what it lacks.
func (c cache) take(l lock, platform ocispec.Platform, wants []want, found map[string]Tool) ([]want, error) {
	var missing []want
	for _, w := range wants {
		_, image := l.image(w.image, platforms.Format(platform))
		file, locked := image.file(w.name)
		if !locked {
			missing = append(missing, w)
			continue
		}
		path := c.file(image.Manifest, w.name)
		err := verify(path, file)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, w)
			continue
		}
		if err != nil {
			return nil, err
		}
		found[w.name] = Tool{Path: path, Source: source(image.Reference, image.Manifest)}
	}
	return missing, nil
}

// verify checks that a file of the cache is the locked one, and can be executed.
func verify(path string, want lockedFile) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("looking for a tool in the cache: %w", err)
	}
	tampered := func(what string) error {
		return &Error{
			Op: "checking " + path, Err: fmt.Errorf("%w: %s", ErrTampered, what),
			Hint: "find out who changed it; when it is removed, it is fetched again",
		}
	}
	if !info.Mode().IsRegular() {
		return tampered("it is no regular file")
	}
	if info.Size() != want.Size {
		return tampered(fmt.Sprintf("it has %d bytes and the lock file says %d", info.Size(), want.Size))
	}
	got, err := hashFile(path)
	if err != nil {
		return fmt.Errorf("checking a tool in the cache: %w", err)
	}
	if got != want.Digest {
		return tampered(fmt.Sprintf("it is %s and the lock file says %s", got, want.Digest))
	}
	return checkExecutable(path)
}

// checkExecutable asks the kernel, which knows of noexec.
func checkExecutable(path string) error {
	if _, err := exec.LookPath(path); err != nil {
		return &Error{
			Op: "checking " + path, Err: fmt.Errorf("%w: %w", ErrUnusable, err),
			Hint: "make it executable; if its file system is mounted noexec, set XDG_CACHE_HOME to a folder on another one",
		}
	}
	return nil
}

func hashFile(path string) (digest.Digest, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return digest.SHA256.FromReader(file)
}

// open makes the cache folder.
func (c cache) open() error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return &Error{Op: "making the cache of tools", Err: err, Hint: "set XDG_CACHE_HOME to a folder that you may write"}
	}
	return c.checkOwn()
}

// checkOwn refuses a cache in which everybody may write: they could replace a tool
// and the lock file together.
func (c cache) checkOwn() error {
	info, err := os.Stat(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the cache of tools: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0 {
		return &Error{
			Op: "opening the cache of tools", Err: fmt.Errorf("everybody may write in %q", c.dir),
			Hint: "remove it, or run `chmod o-w " + c.dir + "` if you trust what is in it",
		}
	}
	return nil
}

// acquire waits until no other process adds to the cache.
func (c cache) acquire(ctx context.Context, waiting func()) (*flock.Flock, error) {
	held := flock.New(filepath.Join(c.dir, "flock"))
	got, err := held.TryLock()
	if err == nil && !got {
		waiting()
		_, err = held.TryLockContext(ctx, lockPoll)
	}
	if context.Cause(ctx) != nil && err != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, &Error{
			Op: "locking the cache of tools", Err: err,
			Hint: "set XDG_CACHE_HOME to a folder that you may write, on a file system with locks",
		}
	}
	return held, nil
}

// sweep removes what killed downloads left. The caller holds the flock.
func (c cache) sweep() error {
	entries, err := os.ReadDir(c.dir)
	for _, entry := range entries {
		if left, _ := filepath.Match(workPattern, entry.Name()); left {
			err = errors.Join(err, os.RemoveAll(filepath.Join(c.dir, entry.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("removing what an interrupted download left: %w", err)
	}
	return nil
}

var encodedDigest = regexp.MustCompile(`^[a-f0-9]{64,128}$`)

// prune removes the images that the lock doesn't name. The caller holds the flock.
func (c cache) prune(l lock) error {
	keep := map[string]bool{}
	for _, image := range l.Images {
		keep[image.Manifest.Encoded()] = true
	}
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		dir := filepath.Join(c.dir, algorithm.String())
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking for old tools: %w", err)
		}
		for _, entry := range entries {
			if !encodedDigest.MatchString(entry.Name()) || keep[entry.Name()] {
				continue
			}
			if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
				return fmt.Errorf("removing old tools: %w", err)
			}
		}
	}
	return nil
}

// install moves a file to its place in the cache. Who runs the one that was there
// before keeps it.
func (c cache) install(from string, manifest digest.Digest, name string) (string, error) {
	path := c.file(manifest, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.Rename(from, path)
	}
	if err != nil {
		return "", fmt.Errorf("putting %s into the cache: %w", name, err)
	}
	return path, nil
}
