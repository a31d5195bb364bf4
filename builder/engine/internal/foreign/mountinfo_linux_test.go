package foreign

import (
	"bytes"
	"strings"
	"testing"
)

const mountinfo = `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
90 36 0:50 / /state/root/mounts/buildkit1 rw,relatime - overlay overlay rw,lowerdir=/l2:/l1,upperdir=/snapshots/7/fs,workdir=/snapshots/7/work,userxattr
91 36 0:51 / /with\040space rw,relatime shared:7 master:3 - overlay overlay rw,lowerdir=/l,upperdir=/up\040per\134,workdir=/w
92 36 0:52 / /read-only ro,relatime - overlay overlay ro,lowerdir=/l2:/l1
93 36 0:53 / /twice rw - overlay overlay rw,lowerdir=/l,upperdir=/first,workdir=/w
94 93 0:54 / /twice rw - tmpfs tmpfs rw
95 36 0:55 / /liar rw - tmpfs tmpfs rw,upperdir=/etc
broken
`

func TestUpperDir(t *testing.T) {
	for point, want := range map[string]string{
		"/state/root/mounts/buildkit1": "/snapshots/7/fs",
		"/with space":                  `/up per\`,
		"/read-only":                   "",
		"/twice":                       "",
		"/liar":                        "",
		"/mnt2":                        "",
		"/nowhere":                     "",
	} {
		if got := upperDir([]byte(mountinfo), point); got != want {
			t.Errorf("%s: got %q, want %q", point, got, want)
		}
	}
}

func FuzzUpperDir(f *testing.F) {
	f.Add([]byte(mountinfo), "/with space")
	f.Add([]byte(`1 2 0:1 / /a\1 rw - overlay o upperdir=\777`), `/a\1`)
	f.Fuzz(func(t *testing.T, mountinfo []byte, point string) {
		upper := upperDir(mountinfo, point)
		if upper != "" && !bytes.Contains(mountinfo, []byte("upperdir=")) {
			t.Errorf("got %q", upper)
		}
		if text := strings.ReplaceAll(point, `\`, `\134`); unescape(text) != point {
			t.Errorf("%q comes back as %q", point, unescape(text))
		}
	})
}
