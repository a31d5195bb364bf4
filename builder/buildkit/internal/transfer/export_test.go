package transfer

import (
	"context"

	"github.com/tonistiigi/fsutil"
)

// Send is send.
func Send(ctx context.Context, to stream, files fsutil.FS) error { return send(ctx, to, files) }

// Names are names.
type Names struct{ names }

func (n *Names) Add(path string, file bool)        { n.add(path, file) }
func (n *Names) File(number uint32) (string, bool) { return n.file(number) }
func (n *Names) Has(path string) bool              { return n.has(path) }
func (n *Names) Bytes() int                        { return cap(n.text) + 4*cap(n.blocks) }
