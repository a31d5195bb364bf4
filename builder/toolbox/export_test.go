package toolbox

import (
	"context"

	boxes "github.com/mabuild/mabuild/emulation/toolbox"
)

// NewMakerOf returns a Maker that hands over what it would make.
func NewMakerOf(ctx context.Context, opts Options, try func(context.Context, boxes.Recipe)) *Maker {
	m := newMaker(opts)
	m.start(ctx, try)
	return m
}

// MaxWanted is how many toolboxes of a kind wait.
const MaxWanted = maxWanted
