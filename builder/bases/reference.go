package bases

import (
	"fmt"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// image is a parsed reference.
type image struct {
	ref    string        // in full, with tag or digest or both
	name   string        // the repository with its host
	digest digest.Digest // none for a tag
}

// parse reads a reference as docker does.
func parse(ref string) (image, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return image{}, &Error{
			Op: "reading the reference of base image", Ref: fmt.Sprintf("%.300q", ref), Err: err,
			Hint: "write it as HOST/NAME:TAG, without scheme and in lower case",
		}
	}
	named = reference.TagNameOnly(named)
	i := image{ref: named.String(), name: named.Name()}
	if digested, ok := named.(reference.Digested); ok {
		i.digest = digested.Digest()
	}
	return i, nil
}
