package testbed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/mabuild/mabuild/integration/testbed/debian"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// The base images, as a Dockerfile names them.
const (
	Busybox = "busybox"              // and busybox:latest
	Debian  = "debian:bookworm-slim" // needs root, debootstrap and QEMU
	Golang  = "golang:1.26"          // and golang:1.26-bookworm; includes Debian
	Trixie  = "debian:trixie-slim"   // as Debian; made when it is asked for by name
)

// lockInterval is how often a waiting process asks for the lock.
const lockInterval = 200 * time.Millisecond

// layout is the version of the cache's layout; recipes have versions of their own.
const layout = "v1"

// Options say which images to prepare, and where.
type Options struct {
	// Cache is the folder that keeps the images. Empty: mabuild-testbed in the
	// user's cache folder ($XDG_CACHE_HOME).
	Cache string
	// Images are the wanted images. Empty: [Busybox], [Debian] and [Golang].
	Images []string
	// Logger hears of the progress, which takes minutes the first time. Nil: nobody does.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("finding the cache folder: %w: set XDG_CACHE_HOME or HOME", err)
		}
		o.Cache = filepath.Join(dir, "mabuild-testbed")
	}
	if len(o.Images) == 0 {
		o.Images = []string{Busybox, Debian, Golang}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// recipe makes one image. Its key names everything that decides what comes out.
type recipe struct {
	name, repository string
	tags             []string
	key              string
	build            func(context.Context) ([]ocispec.Descriptor, error)
}

// bench is where one run makes images.
type bench struct {
	cache    string
	root     string // the registry storage
	work     string // this run's own folder
	logger   *slog.Logger
	source   debian.Source
	settings string // apt's
	golang   string // the version of Go, without "go"
	store    imagestore.Store

	// aptReady prepares apt's package lists once, for the first who needs them.
	aptReady func() (*debian.Apt, error)
	aptMu    sync.Mutex
	// debianDone is closed when debian's manifests are in the storage.
	debianDone chan struct{}
}

// Prepare makes the images that are missing in the cache and returns the folder
// of the registry storage that has them. A process that runs Prepare at the same
// time waits for the first; a killed one leaves nothing that a later one would take
// for an image. Images are made again when their recipe, the machine's Debian
// mirror or its version of Go changes, not when Debian gets newer packages.
func Prepare(ctx context.Context, opts Options) (string, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return "", err
	}
	b, err := newBench(ctx, opts)
	if err != nil {
		return "", err
	}
	recipes, err := b.recipes(opts.Images)
	if err != nil {
		return "", err
	}
	return b.root, b.ensure(ctx, recipes)
}

// ensure makes what is missing, unless another process does.
func (b *bench) ensure(ctx context.Context, recipes []recipe) error {
	if len(b.missing(ctx, recipes)) == 0 {
		return nil
	}
	b.logger.Info("preparing the base images", "cache", b.cache)
	lock := flock.New(filepath.Join(b.cache, "lock"))
	if _, err := lock.TryLockContext(ctx, lockInterval); err != nil {
		return fmt.Errorf("waiting for another process that prepares the base images: %w", err)
	}
	defer lock.Unlock() // the end of the process unlocks it as well

	// Who held the lock may have made them.
	if err := b.make(ctx, b.missing(ctx, recipes)); err != nil {
		return fmt.Errorf("preparing the base images: %w", err)
	}
	return nil
}

func newBench(ctx context.Context, opts Options) (*bench, error) {
	b := &bench{
		cache:      filepath.Join(opts.Cache, layout),
		logger:     opts.Logger,
		golang:     goVersion(runtime.Version()),
		debianDone: make(chan struct{}),
	}
	b.root = filepath.Join(b.cache, "storage")
	if err := os.MkdirAll(b.root, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache of base images: %w", err)
	}
	var err error
	if b.source, err = debian.ReadSource("/etc/apt"); err != nil {
		return nil, err
	}
	if b.settings, err = debian.Settings(ctx); err != nil {
		return nil, err
	}
	if b.store, err = imagestore.Open(ctx, b.root); err != nil {
		return nil, err
	}
	return b, nil
}

// recipes returns the recipes of the images and of what they are made from.
func (b *bench) recipes(images []string) ([]recipe, error) {
	mirrors := []string{b.source.Mirror, b.source.Security, b.settings}
	busybox := recipe{
		name: Busybox, repository: "library/busybox", tags: []string{"latest"},
		key: key("busybox 1", mirrors...), build: b.buildBusybox,
	}
	slim := b.debianRecipe(Debian, debian.Suite, "debian 1", mirrors)
	golang := recipe{
		name: Golang, repository: "library/golang", tags: []string{goSeries, goSeries + "-bookworm"},
		key: key("golang 1", slim.key, b.golang), build: b.buildGolang,
	}
	known, err := b.toolRecipes(images)
	if err != nil {
		return nil, err
	}
	known[Busybox], known[Debian], known[Golang] = []recipe{busybox}, []recipe{slim}, []recipe{slim, golang}
	known[Java] = []recipe{slim, b.javaRecipe(slim)}
	known[Trixie] = []recipe{b.debianRecipe(Trixie, debian.Trixie, "trixie 1", mirrors)}
	known[DebianUnpacked] = []recipe{b.unpackedRecipe(DebianUnpacked, debian.Suite, mirrors)}
	known[TrixieUnpacked] = []recipe{b.unpackedRecipe(TrixieUnpacked, debian.Trixie, mirrors)}
	var recipes []recipe
	for _, name := range images {
		found, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("preparing the base image %q: there is none: use one of %s", name,
				strings.Join([]string{Busybox, Debian, Golang, Trixie, DebianUnpacked, TrixieUnpacked, Java, Binfmt, BuildKit}, ", "))
		}
		for _, r := range found {
			if !slices.ContainsFunc(recipes, func(has recipe) bool { return has.name == r.name }) {
				recipes = append(recipes, r)
			}
		}
	}
	return recipes, nil
}

func key(version string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{version}, parts...), "\x00")))
	return fmt.Sprintf("%s %x", version, sum[:8])
}

// missing returns the recipes whose images are not in the storage.
func (b *bench) missing(ctx context.Context, recipes []recipe) []recipe {
	return slices.DeleteFunc(slices.Clone(recipes), func(r recipe) bool { return b.made(ctx, r) })
}

// made reports whether the image of a recipe is there: the marker, written last,
// has the recipe's key and the digest that the tags must have.
func (b *bench) made(ctx context.Context, r recipe) bool {
	text, err := os.ReadFile(b.marker(r))
	if err != nil {
		return false
	}
	made, dgst, found := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return found && string(made) == r.key && !slices.ContainsFunc(r.tags, func(tag string) bool {
		return !b.store.Tagged(ctx, r.repository, tag, digest.Digest(dgst))
	})
}

func (b *bench) marker(r recipe) string {
	return filepath.Join(b.cache, strings.NewReplacer(":", "_", "/", "_").Replace(r.name)+".made")
}

// make makes the images of recipes side by side. The caller holds the lock.
func (b *bench) make(ctx context.Context, recipes []recipe) (err error) {
	if len(recipes) == 0 {
		return nil
	}
	if err := b.sweep(); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp(b.cache, "work-"); err != nil {
		return fmt.Errorf("making a folder to work in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()

	group, ctx := errgroup.WithContext(ctx)
	b.aptReady = sync.OnceValues(func() (*debian.Apt, error) {
		started := time.Now()
		a, err := debian.NewApt(ctx, filepath.Join(b.work, "apt"), b.source, b.settings,
			[]string{debian.Suite, debian.Suite + "-updates"}, architectures(busyboxTargets()))
		b.logger.Info("read Debian's package lists", "took", since(started))
		return a, err
	})
	if !slices.ContainsFunc(recipes, func(r recipe) bool { return r.name == Debian }) {
		close(b.debianDone)
	}
	for _, r := range recipes {
		group.Go(func() error { return b.makeOne(ctx, r) })
	}
	return group.Wait()
}

// sweep removes what killed runs left: their folders and unfinished blobs.
func (b *bench) sweep() error {
	for _, pattern := range []string{
		filepath.Join(b.cache, "work-*"),
		filepath.Join(b.root, "docker/registry/v2/repositories/*/*/_uploads"),
	} {
		stale, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("looking for what a killed run left: %w", err)
		}
		for _, dir := range stale {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("removing what a killed run left: %w", err)
			}
		}
	}
	return nil
}

func (b *bench) makeOne(ctx context.Context, r recipe) error {
	started := time.Now()
	b.logger.Info("making a base image", "image", r.name)
	manifests, err := r.build(ctx)
	if err != nil {
		return fmt.Errorf("making %s: %w", r.name, err)
	}
	desc, err := b.store.PutIndex(ctx, r.repository, r.tags, manifests)
	if err != nil {
		return err
	}
	if err := writeFile(b.marker(r), []byte(r.key+"\n"+desc.Digest.String()+"\n")); err != nil {
		return fmt.Errorf("noting that %s is made: %w", r.name, err)
	}
	if r.name == Debian {
		close(b.debianDone)
	}
	b.logger.Info("made a base image", "image", r.name, "platforms", len(manifests), "took", since(started))
	return nil
}

// download fetches Debian packages (name:architecture) and returns their files.
func (b *bench) download(ctx context.Context, packages ...string) (map[string]string, error) {
	a, err := b.aptReady()
	if err != nil {
		return nil, err
	}
	b.aptMu.Lock() // apt locks its folders, and fails where it can't
	defer b.aptMu.Unlock()
	return a.Download(ctx, packages...)
}

func architectures(targets []target) []string {
	var names []string
	for _, t := range targets {
		names = append(names, t.debian)
	}
	return names
}

func since(started time.Time) time.Duration { return time.Since(started).Round(10 * time.Millisecond) }

// writeFile writes a file in one step.
func writeFile(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
