package parity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func sorted(files map[string]string) []string { return slices.Sorted(maps.Keys(files)) }

// errNothing is that there is nothing at a place.
var errNothing = errors.New("there is nothing")

// look collects the facts that one Look asks for.
func (r *run) look(ctx context.Context, look string) error {
	kind, place, _ := strings.Cut(look, " ")
	path := r.places.Replace(place)
	err := r.lookAt(ctx, kind, place, path)
	if errors.Is(err, errNothing) || errors.Is(err, fs.ErrNotExist) {
		r.observer.set(look, nothing)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the %s of %s: %w", look, r.program, err)
	}
	r.observer.set(look, "something")
	return nil
}

func (r *run) lookAt(ctx context.Context, kind, place, path string) error {
	switch kind {
	case "image":
		return r.registry(ctx, place, path)
	case "cache":
		_, err := r.tag(ctx, path)
		return err
	case "kept":
		out, err := r.lab.command(ctx, r, []string{r.lab.Mabuild, "images"}).Output()
		if err == nil && bytes.Count(out, []byte("\n")) < 2 { // the head of the table
			return errNothing
		}
		return err
	case "files":
		return r.observer.directory(place, path)
	case "fresh":
		return r.fresh(path)
	}
	var text []byte
	switch info, err := os.Stat(path); {
	case place == missing:
		text = r.stdout
	case err != nil:
		return err
	case !info.IsDir():
		if text, err = os.ReadFile(path); err != nil {
			return err
		}
	}
	switch kind {
	case "tar":
		return r.observer.archive(place, text)
	case "json":
		return r.observer.json(place, text)
	case "text":
		r.observer.set(place+" text", strings.TrimSpace(string(text)))
		return nil
	case "oci", "docker":
		open, err := opener(path, text)
		if err != nil {
			return err
		}
		if kind == "docker" {
			if err := r.loadable(place, open); err != nil {
				return err
			}
		}
		return r.observer.layout(place, open)
	}
	return fmt.Errorf("%q is nothing to look at: see Looks", kind)
}

// fresh compares a file of Before with that of the run itself.
func (r *run) fresh(name string) error {
	first, err := os.ReadFile(filepath.Join(r.out, "first", name))
	if err != nil {
		return err
	}
	second, err := os.ReadFile(filepath.Join(r.out, "second", name))
	if err != nil {
		return err
	}
	r.observer.set(filepath.Base(name)+" was made again", !bytes.Equal(first, second))
	return nil
}

// loadable collects the facts of the file by which docker load finds its way.
func (r *run) loadable(name string, open func(string) ([]byte, error)) error {
	text, err := open("manifest.json")
	if err != nil {
		return err
	}
	var images []struct {
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(text, &images); err != nil {
		return fmt.Errorf("parsing manifest.json: %w", err)
	}
	r.observer.set(name+" images to load", len(images))
	for i, image := range images {
		r.observer.set(fmt.Sprintf("%s image to load %d", name, i), fmt.Sprintf("%d layers, %q", len(image.Layers), image.RepoTags))
	}
	return nil
}

// registry collects the facts of an image in the registry.
func (r *run) registry(ctx context.Context, name, reference string) error {
	body, err := r.tag(ctx, reference)
	if err != nil {
		return err
	}
	repository := r.repository(reference)
	root := describe(body)
	return r.observer.image(name, root, func(desc ocispec.Descriptor) ([]byte, error) {
		switch desc.MediaType {
		case ocispec.MediaTypeImageIndex, dockerList, ocispec.MediaTypeImageManifest, dockerManifest:
			return r.lab.registry.Get(ctx, repository+"/manifests/"+desc.Digest.String(), desc.MediaType)
		}
		return r.lab.registry.Get(ctx, repository+"/blobs/"+desc.Digest.String())
	})
}

// repository is a reference without the registry and the tag.
func (r *run) repository(reference string) string {
	path := strings.TrimPrefix(reference, r.lab.registry.Addr+"/")
	return path[:strings.LastIndexByte(path, ':')]
}

// tag reads the manifest of a tag.
func (r *run) tag(ctx context.Context, reference string) ([]byte, error) {
	accept := []string{ocispec.MediaTypeImageIndex, dockerList, ocispec.MediaTypeImageManifest, dockerManifest}
	tag := reference[strings.LastIndexByte(reference, ':')+1:]
	body, err := r.lab.registry.Get(ctx, r.repository(reference)+"/manifests/"+tag, accept...)
	if err != nil && strings.Contains(err.Error(), "404") {
		return nil, errNothing
	}
	return body, err
}
