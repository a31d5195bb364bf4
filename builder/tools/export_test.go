package tools

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What tests of the parts need.
var (
	HostPlatform = hostPlatform
	Pick         = pick
)

// Lock is the content of a lock file.
type Lock = lock

// ParseLock and EncodeLock read and write lock files.
func ParseLock(text []byte) (Lock, error) { return parseLock(text) }
func EncodeLock(l Lock) ([]byte, error)   { return l.encode() }
func ReadLock(dir string) (Lock, error)   { return cache{dir: dir}.readLock() }
func WriteLock(dir string, l Lock) error  { return cache{dir: dir}.writeLock(l) }
func CacheFile(dir string, manifest digest.Digest, name string) string {
	return cache{dir: dir}.file(manifest, name)
}

// ParseManifest returns the layers of a manifest.
func ParseManifest(body []byte) ([]ocispec.Descriptor, error) {
	doc, err := parseManifest(body)
	return doc.Layers, err
}
