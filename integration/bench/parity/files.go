package parity

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// directory collects the facts of the files in dir.
func (o *observer) directory(name, dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		var content string
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = digest.FromBytes(text).String()
			if entry.Name() == "provenance.json" {
				content = "an attestation"
				if err := o.json(name+" "+relative, text); err != nil {
					return err
				}
			}
		case info.Mode()&fs.ModeSymlink != 0:
			if content, err = os.Readlink(path); err != nil {
				return err
			}
		}
		if o.times && !info.IsDir() {
			content += " " + info.ModTime().UTC().String()
		}
		o.set(name+" "+relative, info.Mode().String()+" "+content)
		return nil
	})
}

// archive collects the facts of what is in an archive, in its order.
func (o *observer) archive(name string, text []byte) error {
	var order []string
	reader := tar.NewReader(bytes.NewReader(text))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the archive %s: %w", name, err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return fmt.Errorf("reading the archive %s: %w", name, err)
		}
		order = append(order, header.Name)
		fact := fmt.Sprintf("%c %o %d:%d %s %s", header.Typeflag, header.Mode, header.Uid, header.Gid, header.Linkname, digest.FromBytes(content))
		if o.times {
			fact += " " + header.ModTime.UTC().String()
		}
		o.set(name+" "+header.Name, fact)
	}
	o.set(name+" order", strings.Join(order, " "))
	return nil
}

// layout collects the facts of the images in an OCI layout, whose files open reads.
func (o *observer) layout(name string, open func(path string) ([]byte, error)) error {
	text, err := open(ocispec.ImageIndexFile)
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("parsing the index of the layout %s: %w", name, err)
	}
	o.set(name+" images", len(index.Manifests))
	for i, desc := range index.Manifests {
		own := fmt.Sprintf("%s image %d", name, i)
		o.annotations(own+" entry", desc.Annotations)
		err := o.image(own, desc, func(desc ocispec.Descriptor) ([]byte, error) {
			return open("blobs/" + desc.Digest.Algorithm().String() + "/" + desc.Digest.Encoded())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unpack reads an archive into memory.
func unpack(text []byte) (map[string][]byte, error) {
	files := make(map[string][]byte)
	reader := tar.NewReader(bytes.NewReader(text))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading an archive: %w", err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			return nil, fmt.Errorf("reading an archive: %w", err)
		}
	}
}

// opener reads the files of a layout: of a directory, or of an archive's text.
func opener(path string, text []byte) (func(string) ([]byte, error), error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(path, name)) }, nil
	}
	files, err := unpack(text)
	return func(name string) ([]byte, error) {
		content, found := files[name]
		if !found {
			return nil, fmt.Errorf("looking for %s in the archive: %w", name, fs.ErrNotExist)
		}
		return content, nil
	}, err
}

// WriteFiles writes files into dir, as the Files of a [Case].
func WriteFiles(dir string, files map[string]string) error {
	archives := make(map[string]*bytes.Buffer)
	writers := make(map[string]*tar.Writer)
	for _, name := range sorted(files) {
		text := files[name]
		if archive, inside, found := strings.Cut(name, ".tar/"); found {
			archive += ".tar"
			if writers[archive] == nil {
				archives[archive] = new(bytes.Buffer)
				writers[archive] = tar.NewWriter(archives[archive])
			}
			header := &tar.Header{Name: inside, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}
			if err := writers[archive].WriteHeader(header); err != nil {
				return fmt.Errorf("writing the archive %s: %w", archive, err)
			}
			if _, err := writers[archive].Write([]byte(text)); err != nil {
				return fmt.Errorf("writing the archive %s: %w", archive, err)
			}
			continue
		}
		if err := writeFile(filepath.Join(dir, name), []byte(text)); err != nil {
			return err
		}
	}
	for name, w := range writers {
		if err := w.Close(); err != nil {
			return fmt.Errorf("writing the archive %s: %w", name, err)
		}
		if err := writeFile(filepath.Join(dir, name), archives[name].Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the files of a case: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil { // a key of ssh is only for its owner
		return fmt.Errorf("writing the files of a case: %w", err)
	}
	return os.Chmod(path, 0o644)
}
