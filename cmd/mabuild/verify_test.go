package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/containerd/errdefs"
)

// TestForgotten: content that is deleted while it is read comes from the other place, and
// no other error does.
func TestForgotten(t *testing.T) {
	const text = "one two three four"
	gone := fmt.Errorf("content: %w", errdefs.ErrNotFound)
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		first io.Reader
		other io.Reader // nil if it is not there either
		want  error
	}{
		"at once":    {iotest.ErrReader(gone), strings.NewReader(text), nil},
		"in between": {io.MultiReader(strings.NewReader(text[:7]), iotest.ErrReader(gone)), strings.NewReader(text), nil},
		"with the last bytes": {
			iotest.DataErrReader(io.MultiReader(strings.NewReader(text[:7]), iotest.ErrReader(gone))),
			strings.NewReader(text), nil,
		},
		"not at all":     {strings.NewReader(text), nil, nil},
		"nowhere":        {iotest.ErrReader(gone), nil, errdefs.ErrNotFound},
		"twice":          {iotest.ErrReader(gone), iotest.ErrReader(gone), errdefs.ErrNotFound},
		"shorter":        {io.MultiReader(strings.NewReader(text[:7]), iotest.ErrReader(gone)), strings.NewReader("one"), io.ErrUnexpectedEOF},
		"another error":  {iotest.ErrReader(broken), strings.NewReader(text), broken},
		"error of other": {iotest.ErrReader(gone), iotest.ErrReader(broken), broken},
	} {
		t.Run(name, func(t *testing.T) {
			reader := &forgotten{ReadCloser: io.NopCloser(test.first), elsewhere: func() (io.ReadCloser, error) {
				if test.other == nil {
					return nil, gone
				}
				return io.NopCloser(test.other), nil
			}}
			if test.want == nil {
				if got, err := io.ReadAll(reader); err != nil || string(got) != text {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			var err error
			for buffer := make([]byte, 4); err == nil; {
				_, err = reader.Read(buffer)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
