package imagestore_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/testbed/imagestore"
)

func entries() []imagestore.Entry {
	owned := imagestore.File("home/user/notes", 0o600, []byte("mine"))
	owned.UID, owned.GID = 1000, 100
	return []imagestore.Entry{
		imagestore.Dir("bin", 0o755),
		{Name: "bin/[", Type: tar.TypeLink, Mode: 0o755, Link: "bin/busybox"},
		imagestore.File("bin/busybox", 0o4755, []byte("program")),
		imagestore.File("etc/empty", 0o644, nil),
		owned,
		imagestore.Symlink("usr/bin/env", "../../bin/env"),
		imagestore.Dir("tmp", 0o1777),
	}
}

func TestWriteLayer(t *testing.T) {
	var packed bytes.Buffer
	if err := imagestore.WriteLayer(&packed, entries()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"5 bin/ 755 0:0 ''->''",
		"0 bin/busybox 4755 0:0 'program'->''",
		"0 etc/empty 644 0:0 ''->''",
		"0 home/user/notes 600 1000:100 'mine'->''",
		"5 tmp/ 1777 0:0 ''->''",
		"2 usr/bin/env 777 0:0 ''->'../../bin/env'",
		"1 bin/[ 755 0:0 ''->'bin/busybox'", // after its target
	}
	if diff := cmp.Diff(want, listing(t, &packed)); diff != "" {
		t.Errorf("the layer's files differ (-want +got):\n%s", diff)
	}
}

func listing(t *testing.T, packed io.Reader) []string {
	t.Helper()
	var got []string
	archive := tar.NewReader(packed)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(imagestore.Epoch()) {
			t.Errorf("%s is dated %v", header.Name, header.ModTime)
		}
		got = append(got, fmt.Sprintf("%c %s %o %d:%d '%s'->'%s'",
			header.Typeflag, header.Name, header.Mode, header.Uid, header.Gid, content, header.Linkname))
	}
}

func TestWriteLayerOrderDoesNotMatter(t *testing.T) {
	var first bytes.Buffer
	if err := imagestore.WriteLayer(&first, entries()); err != nil {
		t.Fatal(err)
	}
	shuffled := entries()
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		before := slices.Clone(shuffled)
		var again bytes.Buffer
		if err := imagestore.WriteLayer(&again, shuffled); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), again.Bytes()) {
			t.Fatal("another order gives other bytes")
		}
		for i := range before {
			if before[i].Name != shuffled[i].Name {
				t.Fatal("the caller's slice was reordered")
			}
		}
	}
}

func TestWriteLayerFails(t *testing.T) {
	broken := errors.New("disk on fire")
	short := imagestore.File("short", 0o644, []byte("abc"))
	short.Size = 5
	unreadable := imagestore.File("unreadable", 0o644, []byte("abc"))
	unreadable.Open = func() (io.ReadCloser, error) { return nil, broken }
	for _, file := range []imagestore.Entry{short, unreadable} {
		t.Run(file.Name, func(t *testing.T) {
			err := imagestore.WriteLayer(io.Discard, []imagestore.Entry{file, imagestore.Dir("z", 0o755)})
			if err == nil {
				t.Error("the layer was written")
			}
		})
	}
}
