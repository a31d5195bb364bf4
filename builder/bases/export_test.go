package bases

import "time"

// WithClock returns o with another clock.
func (o Options) WithClock(now func() time.Time) Options {
	o.now = now
	return o
}

// Tag is the content of a tag's file.
type Tag = tag

// ParseTag is parseTag.
func ParseTag(text []byte) (Tag, error) { return parseTag(text) }

// Encode is encode.
func (t tag) Encode() ([]byte, error) { return t.encode() }
