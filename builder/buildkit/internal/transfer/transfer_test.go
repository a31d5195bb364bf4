package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/buildkit/internal/transfer"
)

// end is one of the two ends of a stream.
type end struct {
	ctx  context.Context //nolint:containedctx // that is what a stream has
	from <-chan *types.Packet
	to   chan<- *types.Packet
}

func (e end) Context() context.Context { return e.ctx }

func (e end) SendMsg(message any) error {
	packet, ok := message.(*types.Packet)
	if !ok {
		return fmt.Errorf("a %T is sent", message)
	}
	select {
	case e.to <- packet.CloneVT(): // as a connection, which keeps no buffer of the sender's
		return nil
	case <-e.ctx.Done():
		return io.EOF
	}
}

func (e end) RecvMsg(message any) error {
	packet, ok := message.(*types.Packet)
	if !ok {
		return fmt.Errorf("a %T is wanted", message)
	}
	select {
	case got := <-e.from:
		packet.Type, packet.Stat, packet.ID, packet.Data = got.Type, got.Stat, got.ID, got.Data
		return nil
	case <-e.ctx.Done():
		return io.EOF
	}
}

func pipe(ctx context.Context) (daemon, client end) {
	a, b := make(chan *types.Packet), make(chan *types.Packet)
	return end{ctx, a, b}, end{ctx, b, a}
}

// sendFunc is how files are sent: as here, or as fsutil does it.
type sendFunc func(context.Context, end, fsutil.FS) error

func ours(ctx context.Context, to end, files fsutil.FS) error { return transfer.Send(ctx, to, files) }

func theirs(ctx context.Context, to end, files fsutil.FS) error {
	return fsutil.Send(ctx, to, files, nil)
}

// told are the names that a daemon hears, and all that is said of them.
func told(t *testing.T, send sendFunc, files fsutil.FS) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	daemon, client := pipe(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return send(ctx, client, files) })
	var list []string
	group.Go(func() error {
		for {
			var packet types.Packet
			if err := daemon.RecvMsg(&packet); err != nil {
				return err
			}
			switch {
			case packet.Type == types.PACKET_FIN:
				return nil
			case packet.Type != types.PACKET_STAT:
				return fmt.Errorf("%s: %s", packet.Type, packet.Data)
			case packet.Stat == nil:
				if err := daemon.SendMsg(&types.Packet{Type: types.PACKET_FIN}); err != nil {
					return err
				}
			default:
				s := packet.Stat
				list = append(list, fmt.Sprint(s.Path, fs.FileMode(s.Mode), s.Uid, s.Gid, s.Size, s.ModTime, s.Linkname, s.Devmajor, s.Devminor, s.Xattrs))
			}
		}
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return list
}

// received are the files that a daemon has afterwards.
func received(t *testing.T, send sendFunc, files fsutil.FS) map[string]string {
	t.Helper()
	dir := t.TempDir()
	connected, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	daemon, client := pipe(connected)
	group, ctx := errgroup.WithContext(t.Context())
	group.Go(func() error {
		defer hangUp() // which a daemon waits for at the end
		return send(ctx, client, files)
	})
	group.Go(func() error { return fsutil.Receive(ctx, daemon, dir, fsutil.ReceiveOpt{}) })
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			body, err := os.ReadFile(path)
			content[name] = string(body)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// world has all kinds of files, in an order that is not that of their bytes.
func world(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/x": "ax", "a/y/z": "ayz", "a-b": "ab", "a.c/f": "acf", "b": "", "node_modules/p/i.js": "i",
		"big": strings.Repeat("0123456789", 20_000), "z/ö ä": "named",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		path := filepath.Join(dir, "many", fmt.Sprint(i%7), fmt.Sprintf("file%d", i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(path), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(link func(string, string) error, to, name string) {
		if err := link(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(os.Symlink, "a/x", "soft")
	link(os.Symlink, "nowhere", "broken")
	link(os.Link, filepath.Join(dir, "a/y/z"), "linked1")
	link(os.Link, filepath.Join(dir, "a/y/z"), "linked2")
	link(os.Link, filepath.Join(dir, "many/3/file3"), "z/linked3")
	link(os.Link, filepath.Join(dir, "soft"), "soft2")
	return dir
}

// What is sent is what fsutil sends, whatever is left out.
func TestSend(t *testing.T) {
	dir := world(t)
	for name, filter := range map[string]fsutil.FilterOpt{
		"all":                        {},
		"without a link's first":     {ExcludePatterns: []string{"a"}},
		"without two of the links":   {ExcludePatterns: []string{"a/y", "linked1", "many/3/file3"}},
		"all but something":          {ExcludePatterns: []string{"*", "!many/*/file1*"}},
		"some":                       {IncludePatterns: []string{"many", "linked*"}},
		"what a link leads to":       {FollowPaths: []string{"soft", "b/c", "nothing/there"}},
		"for another user":           {Map: func(_ string, st *types.Stat) fsutil.MapResult { st.Uid = 7; return fsutil.MapResultKeep }},
		"without the files of links": {IncludePatterns: []string{"z"}},
	} {
		t.Run(name, func(t *testing.T) {
			open := func(make func(string) (fsutil.FS, error)) fsutil.FS {
				files, err := make(dir)
				if err == nil {
					files, err = fsutil.NewFilterFS(files, &filter)
				}
				if err != nil {
					t.Fatal(err)
				}
				return files
			}
			want := told(t, theirs, open(fsutil.NewFS))
			if diff := cmp.Diff(want, told(t, ours, open(transfer.Open))); diff != "" || len(want) == 0 {
				t.Errorf("names (-fsutil +here):\n%s", diff)
			}
			if diff := cmp.Diff(received(t, theirs, open(fsutil.NewFS)), received(t, ours, open(transfer.Open))); diff != "" {
				t.Errorf("files (-fsutil +here):\n%s", diff)
			}
		})
	}
}

// A daemon gets nothing but files that it was told about.
func TestSendRefuses(t *testing.T) {
	files, err := transfer.Open(world(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, number := range map[string]uint32{"a directory": 0, "nothing": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			daemon, client := pipe(t.Context())
			group, ctx := errgroup.WithContext(t.Context())
			group.Go(func() error {
				for {
					var packet types.Packet
					if err := daemon.RecvMsg(&packet); err != nil {
						return err
					}
					if packet.Type == types.PACKET_STAT && packet.Stat == nil {
						return daemon.SendMsg(&types.Packet{Type: types.PACKET_REQ, ID: number})
					}
				}
			})
			group.Go(func() error { return transfer.Send(ctx, client, files) })
			want := fmt.Sprintf("asked for number %d, which is no file", number)
			if err := group.Wait(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

// Files that disappear during a walk are left out, and not what comes after them.
func TestWalkOfDisappearingFiles(t *testing.T) {
	dir := world(t)
	files, err := transfer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	err = files.Walk(t.Context(), "a", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == filepath.FromSlash("a/x") {
			if err := os.Remove(filepath.Join(dir, path)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := entry.Info(); err != nil {
			return err
		}
		seen = append(seen, filepath.ToSlash(path))
		return nil
	})
	if diff := cmp.Diff([]string{"a", "a/y", "a/y/z"}, seen); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := transfer.Open(filepath.Join(dir, "b")); err == nil {
		t.Error("a file was opened as a directory")
	}
}
