package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/builder/ci"
)

// results are what the metadata says, for the steps of a CI system that come after.
func (m *metadata) results(text []byte) *ci.Results {
	results := &ci.Results{Digest: m.Digest.String(), ImageID: m.Digest.String(), Metadata: string(text)}
	if m.ConfigDigest != "" {
		results.ImageID = m.ConfigDigest.String()
	}
	if m.Name != "" {
		results.Names = strings.Split(m.Name, ",")
	}
	for name, p := range m.Platforms {
		results.Platforms = append(results.Platforms, ci.PlatformResult{
			Platform: name, Digest: p.Digest.String(), Size: p.Size, Seconds: p.Seconds, Emulated: p.Emulated, Assisted: p.Assisted,
			Cached: p.Cached, Node: p.Node, Retries: p.Retries, Error: p.Error,
		})
	}
	slices.SortFunc(results.Platforms, func(a, b ci.PlatformResult) int { return strings.Compare(a.Platform, b.Platform) })
	return results
}

// results are those of images that were joined.
func (m *joinedMetadata) results(text []byte) *ci.Results {
	results := &ci.Results{Digest: m.Digest.String(), ImageID: m.Digest.String(), Metadata: string(text), Names: strings.Split(m.Name, ",")}
	for name, p := range m.Platforms {
		results.Platforms = append(results.Platforms, ci.PlatformResult{Platform: name, Digest: p.Digest.String(), Size: p.Size})
	}
	slices.SortFunc(results.Platforms, func(a, b ci.PlatformResult) int { return strings.Compare(a.Platform, b.Platform) })
	return results
}

// writeResults writes the file of --results: variables, one in a line, or a file for
// each in a directory, as Tekton wants them.
func writeResults(path string, results *ci.Results) error {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing --results: %w", err)
	}
	if err == nil && info.IsDir() {
		files, _, err := results.Tekton() // what does not fit is in --metadata-file
		if err != nil {
			return fmt.Errorf("writing --results: %w", err)
		}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(path, file.Name), []byte(file.Value), 0o644); err != nil {
				return fmt.Errorf("writing --results: %w", err)
			}
		}
		return nil
	}
	outputs, err := results.Outputs()
	if err != nil {
		return fmt.Errorf("writing --results: %w", err)
	}
	var body bytes.Buffer
	if _, err := ci.WriteDotenv(&body, outputs); err != nil {
		return fmt.Errorf("writing --results: %w", err)
	}
	return writeWhole(path, body.Bytes(), 0o644)
}
