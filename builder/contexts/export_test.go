package contexts

import (
	"context"

	"github.com/moby/buildkit/solver/pb"
)

// Sources reads a context in both forms and returns what would be fetched.
func Sources(url string, op *pb.SourceOp) (a, b any, text string, errA, errB error) {
	x, errA := parse(url)
	y, errB := parseOp(op)
	return x, y, x.String(), errA, errB
}

// ReadArchive indexes an archive in a file and reads a file in it.
func ReadArchive(ctx context.Context, file, name string, limit int64) ([]byte, error) {
	a, err := index(ctx, file, limit)
	if err != nil {
		return nil, err
	}
	return a.read(ctx, name, limit)
}

// Choose picks a reference from the answer to ls-remote, whose lines are objects
// and names.
func Choose(ref string, answer []byte) (name, object string) { return choose(ref, answer) }
