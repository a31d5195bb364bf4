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
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

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

// exchange sends files to a daemon, which puts them in dir.
func exchange(ctx context.Context, send sendFunc, files fsutil.FS, dir string) (sent, received error) {
	connected, hangUp := context.WithCancel(ctx)
	defer hangUp()
	daemon, client := pipe(connected)
	var both sync.WaitGroup
	both.Go(func() {
		defer hangUp() // which a daemon waits for at the end
		sent = send(ctx, client, files)
	})
	both.Go(func() {
		if received = fsutil.Receive(ctx, daemon, dir, fsutil.ReceiveOpt{}); received != nil {
			hangUp()
		}
	})
	both.Wait()
	return sent, received
}

// received are the files that a daemon has afterwards.
func received(t *testing.T, send sendFunc, files fsutil.FS) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(exchange(t.Context(), send, files, dir)); err != nil {
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

func open(t *testing.T, dir string) fsutil.FS {
	t.Helper()
	files, err := transfer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
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
	files := open(t, world(t))
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

// broken is a tree with a file that is not as the walk has found it.
type broken struct {
	fsutil.FS
	path string
	open func() (io.ReadCloser, error)
}

func (b broken) Open(path string) (io.ReadCloser, error) {
	if path == b.path {
		return b.open()
	}
	return b.FS.Open(path)
}

func stale() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader("begin"), iotest.ErrReader(syscall.ESTALE))), nil
}

// A file that cannot be read ends the transfer at both ends. The time of the test passes
// when both wait for each other.
func TestSendUnreadable(t *testing.T) {
	const action = "; make it readable or list it in .dockerignore"
	for name, test := range map[string]struct {
		open func() (io.ReadCloser, error)
		want string // empty if the daemon gets an empty file
	}{
		"stale":       {stale, "reading a/x: " + syscall.ESTALE.Error() + action},
		"refused":     {func() (io.ReadCloser, error) { return nil, syscall.EACCES }, "reading a/x: " + syscall.EACCES.Error() + action},
		"disappeared": {func() (io.ReadCloser, error) { return nil, syscall.ENOENT }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				files, err := fsutil.NewFilterFS(open(t, world(t)), &fsutil.FilterOpt{IncludePatterns: []string{"a"}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				dir := t.TempDir()
				sent, received := exchange(ctx, ours, broken{files, "a/x", test.open}, dir)
				for end, err := range map[string]error{"sender": sent, "receiver": received} {
					if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.HasSuffix(got, test.want) {
						t.Errorf("the %s ends with %q, want %q", end, got, test.want)
					}
				}
				if content, err := os.ReadFile(filepath.Join(dir, "a/x")); test.want == "" && (err != nil || len(content) > 0) {
					t.Errorf("the file is %q, error %v", content, err)
				}
			})
		})
	}
}

// A daemon may ask for more files before it hears that one could not be read, and is
// listened to: one that cannot speak does not end the transfer.
func TestSendListensAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var both sync.WaitGroup
		defer both.Wait()
		ctx, hangUp := context.WithTimeout(t.Context(), time.Minute)
		defer hangUp()
		daemon, client := pipe(ctx)
		files := broken{open(t, world(t)), "a/x", stale}
		both.Go(func() { _ = transfer.Send(ctx, client, files) })
		var packet types.Packet
		ask := &types.Packet{Type: types.PACKET_REQ}
		for number := uint32(0); packet.Type != types.PACKET_ERR; number++ {
			if err := daemon.RecvMsg(&packet); err != nil {
				t.Fatal(err)
			}
			if packet.Type == types.PACKET_STAT && packet.Stat.GetPath() == "a/x" {
				ask.ID = number
				if err := daemon.SendMsg(ask); err != nil {
					t.Fatal(err)
				}
			}
		}
		both.Go(func() {
			for daemon.RecvMsg(&packet) == nil {
				continue
			}
		})
		for range 1000 {
			if err := daemon.SendMsg(ask); err != nil {
				t.Fatal("the daemon is not listened to")
			}
		}
	})
}

// Files that disappear during a walk are left out, and not what comes after them.
func TestWalkOfDisappearingFiles(t *testing.T) {
	dir := world(t)
	files := open(t, dir)
	var seen []string
	err := files.Walk(t.Context(), "a", func(path string, entry fs.DirEntry, err error) error {
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
