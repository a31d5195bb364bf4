package rootfs

import "io"

// What tests of the parts need.
var CleanEntry = cleanEntry

// The kinds of names of entries.
const (
	MarkNone    = markNone
	MarkRemoved = markRemoved
	MarkOpaque  = markOpaque
	MarkOther   = markOther
)

// Limit returns a reader that fails after n bytes, as that of an unpacked layer does.
func Limit(r io.Reader, n int64) io.Reader { return &limitedReader{reader: r, left: n} }
