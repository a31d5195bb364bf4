package bases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	tagVersion = 1
	maxTag     = 4 << 10 // bytes of a tag's file
)

// tag is what a reference without digest pointed to.
type tag struct {
	Version  int           `json:"version"`
	Ref      string        `json:"ref"` // in full; guards against files that were copied
	Digest   digest.Digest `json:"digest"`
	Resolved time.Time     `json:"resolved"` // when the registry was asked
}

// parseTag reads the file of a tag. It refuses what [tag.encode] doesn't write.
func parseTag(text []byte) (tag, error) {
	var t tag
	if len(text) > maxTag {
		return t, fmt.Errorf("%d bytes are more than %d", len(text), maxTag)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil {
		return t, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return t, errors.New("something follows its end")
	}
	return t, t.check()
}

func (t tag) check() error {
	if t.Version != tagVersion {
		return fmt.Errorf("version %d is not %d", t.Version, tagVersion)
	}
	if named, err := parse(t.Ref); err != nil {
		return err
	} else if named.ref != t.Ref || named.digest != "" {
		return fmt.Errorf("%q is not the full reference of a tag", t.Ref)
	}
	if err := t.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %.100q: %w", string(t.Digest), err)
	}
	if t.Resolved.IsZero() {
		return errors.New("it doesn't say when it was resolved")
	}
	return nil
}

func (t tag) encode() ([]byte, error) {
	text, err := json.Marshal(t)
	return append(text, '\n'), err
}
