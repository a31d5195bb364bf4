package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Content is a store of images. The image store of builder/output has one.
type Content = content.InfoReaderProvider

// Loaded is what Docker has now.
type Loaded struct {
	// Digest is that of the index or manifest that was loaded.
	Digest digest.Digest
	// ID is what Docker calls the image.
	ID digest.Digest
	// Platforms were loaded.
	Platforms []ocispec.Platform
	// LeftOut are the other platforms of the image.
	LeftOut []ocispec.Platform
}

// Load gives an image to Docker, and checks that its names lead to it.
func (e *Engine) Load(ctx context.Context, store Content, image Image) (*Loaded, error) {
	full, err := fullNames(image.Names)
	if err != nil {
		return nil, err
	}
	s, err := e.choose(ctx, store, image)
	if err != nil {
		return nil, err
	}
	if s.body != nil {
		store = withIndex{store, s.root, s.body}
	}
	if err := e.send(ctx, store, s, full); err != nil {
		return nil, fmt.Errorf("loading the image into Docker at %s: %w", e.endpoint.Host, err)
	}
	loaded := &Loaded{Digest: s.root.Digest}
	if loaded.ID, err = e.confirm(ctx, s, full); err != nil {
		return nil, fmt.Errorf("loading the image into Docker at %s: %w", e.endpoint.Host, err)
	}
	for _, v := range s.chosen {
		loaded.Platforms = append(loaded.Platforms, v.platform)
	}
	for _, v := range s.leftOut {
		loaded.LeftOut = append(loaded.LeftOut, v.platform)
	}
	return loaded, nil
}

func fullNames(list []string) ([]string, error) {
	full := make([]string, 0, len(list))
	for _, name := range list {
		named, err := reference.ParseDockerRef(name)
		if err != nil {
			return nil, fmt.Errorf("naming the image %q: %w; write NAME:TAG", name, err)
		}
		if _, ok := named.(reference.Digested); ok {
			return nil, fmt.Errorf("naming the image %q: Docker takes no digest; write NAME:TAG", name)
		}
		full = append(full, named.String())
	}
	return full, nil
}

// send streams the archive. It is an OCI layout and docker save's format in one, which
// every Docker reads.
func (e *Engine) send(ctx context.Context, store Content, s *selection, names []string) error {
	root := s.root
	root.Annotations, root.Platform = nil, nil // an entry's own
	if _, err := store.Info(ctx, root.Digest); err != nil {
		return err // the exporter leaves out a root that is missing
	}
	reader, writer := io.Pipe()
	exported := make(chan error, 1)
	go func() {
		options := []archive.ExportOpt{archive.WithManifest(root, names...), archive.WithAllPlatforms()}
		if e.MultiPlatform {
			options = append(options, archive.WithSkipDockerManifest())
		}
		out := &remember{w: writer}
		err := archive.Export(ctx, store, out, options...)
		if err == nil {
			err = out.err // of the archive's end
		}
		writer.CloseWithError(err)
		exported <- err
	}()
	err := e.post(ctx, reader)
	// Docker may have stopped reading, with an answer that says why.
	reader.CloseWithError(errStopped)
	if broken := <-exported; broken != nil && !errors.Is(broken, errStopped) && ctx.Err() == nil {
		return fmt.Errorf("reading the image: %w", broken)
	}
	return err
}

// errStopped ends the archive when Docker does not want more of it.
var errStopped = errors.New("Docker reads no further")

// remember is a writer with the first error of w.
type remember struct {
	w   io.Writer
	err error
}

func (r *remember) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.w.Write(p)
	r.err = err
	return n, err
}

func (e *Engine) post(ctx context.Context, body io.Reader) error {
	resp, err := e.do(ctx, http.MethodPost, "/images/load", url.Values{"quiet": {"1"}}, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return readMessages(resp.Body)
}

// readMessages reads the stream of messages by which Docker tells of its work, and
// returns the error that it tells of.
func readMessages(r io.Reader) error {
	decoder := json.NewDecoder(r)
	for {
		var message struct {
			Error       string `json:"error"`
			ErrorDetail struct {
				Message string `json:"message"`
			} `json:"errorDetail"`
		}
		err := decoder.Decode(&message)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading Docker's answer: %w", err)
		case message.ErrorDetail.Message != "":
			message.Error = message.ErrorDetail.Message
		}
		if message.Error != "" {
			return errors.New("Docker says: " + strings.TrimSpace(message.Error))
		}
	}
}

// confirm asks Docker what it has under the names, or under the digest without any.
func (e *Engine) confirm(ctx context.Context, s *selection, names []string) (digest.Digest, error) {
	ask := names
	if len(ask) == 0 {
		ask = []string{s.chosen[0].manifest.Config.Digest.String()}
		if e.MultiPlatform {
			ask = []string{s.root.Digest.String()}
		}
	}
	var id digest.Digest
	for _, name := range ask {
		var image struct {
			ID digest.Digest `json:"Id"`
		}
		if err := e.get(ctx, "/images/"+name+"/json", &image); err != nil {
			return "", fmt.Errorf("looking for %s afterwards: %w", name, err)
		}
		if !slices.Contains(s.ids(), image.ID) {
			return "", fmt.Errorf("%s is %s in Docker afterwards, not what was loaded; somebody else wrote it too: load it again", name, image.ID)
		}
		id = image.ID
	}
	return id, nil
}
