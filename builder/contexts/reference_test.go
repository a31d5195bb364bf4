package contexts_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"

	"github.com/mabuild/mabuild/builder/contexts"
)

func TestIsRemote(t *testing.T) {
	t.Parallel()
	for context, want := range map[string]bool{
		"https://example.com/app.git": true, "http://example.com/app.tar.gz": true, "https://example.com/": true,
		"git://example.com/app": true, "ssh://git@example.com/app": true, "git@example.com:app.git": true, "me@example.com:app": true,
		"github.com/me/app": true, "https://example.com/app.git?what=ever": true,
		".": false, "./github.com/me/app": false, "../x": false, "/srv/app": false, "-": false, "": false, "app": false,
		"ftp://example.com/x": false, "file:///srv": false, "ext::sh -c true": false, "C:\\app": false, "host:path": false,
	} {
		if got := contexts.IsRemote(context); got != want {
			t.Errorf("%q: %v", context, got)
		}
	}
}

// operation is what BuildKit's frontend asks for.
func operation(t testing.TB, context string) *pb.SourceOp {
	t.Helper()
	st, ok, err := dockerui.DetectGitContext(context, nil)
	if !ok {
		err = nil
		st, _, ok = dockerui.DetectHTTPContext(context)
	}
	if err != nil || !ok {
		return nil
	}
	def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		return nil // no text that can be sent
	}
	var op pb.Op
	if err := op.UnmarshalVT(def.Def[0]); err != nil {
		t.Fatal(err)
	}
	return op.GetSource()
}

// TestForms holds that a context is the same source on the command line and in
// BuildKit's operation, so that it is fetched once.
func TestForms(t *testing.T) {
	t.Parallel()
	for url, shown := range map[string]string{
		"https://example.com/app.git":                                      "https://example.com/app.git",
		"https://me:secret@example.com/app.git#v1:a/b/":                    "https://xxxxx@example.com/app.git#v1:a/b",
		"https://example.com/app.git#:../x":                                "https://example.com/app.git#:x",
		"https://example.com/app.git?ref=main&subdir=a":                    "https://example.com/app.git#main:a",
		"https://example.com/app.git?tag=v1&checksum=0123abc&submodules=0": "https://example.com/app.git#refs/tags/v1",
		"git://example.com/app#v1":                                         "git://example.com/app#v1",
		"github.com/me/app#main:x":                                         "https://github.com/me/app#main:x",
		"https://me:secret@example.com/x.tar?token=secret":                 "https://xxxxx@example.com/x.tar?…",
	} {
		a, b, text, errA, errB := contexts.Sources(url, operation(t, url))
		if errA != nil || errB != nil {
			t.Errorf("%s: %v, %v", url, errA, errB)
		}
		if a != b {
			t.Errorf("%s is %+v on the command line and %+v in the operation", url, a, b)
		}
		if diff := cmp.Diff(shown, text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", url, diff)
		}
	}
	_, _, _, _, err := contexts.Sources(".", &pb.SourceOp{Identifier: "local://context"})
	if err == nil || !strings.Contains(err.Error(), "only git and http") {
		t.Errorf("got %v", err)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"fatal: unable to access 'https://me:se@cret@example.com/x.git/': no": "fatal: unable to access 'https://xxxxx@example.com/x.git/': no",
		"ssh://git@example.com/x http://a:b@c":                                "ssh://xxxxx@example.com/x http://xxxxx@c",
		"mail me@example.com":                                                 "mail me@example.com",
	} {
		if got := contexts.Redact(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, seed := range []string{
		"https://me:secret@example.com/app.git#v1:a/b", "git@example.com:app.git?ref=x", "github.com/a/b#-x", "https://h/x.git?checksum=12&fetch-by-commit",
		"http://h/x.tar?token=y", "git://h/\x1b[31m#a\nb", "https://h/x.git#%2e%2e:%2e%2e/x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		if strings.Contains(url, "ssh://") || strings.Contains(url, "@") && !strings.Contains(url, "://") {
			return // BuildKit asks the host for its key
		}
		op := operation(t, url)
		if op == nil {
			return
		}
		a, b, text, errA, errB := contexts.Sources(url, op)
		if errA == nil && errB == nil && a != b {
			t.Errorf("%q is %+v and %+v", url, a, b)
		}
		if strings.ContainsAny(text, "\n\x1b") {
			t.Errorf("%q is shown as %q", url, text)
		}
	})
}

func FuzzChoose(f *testing.F) {
	f.Add("main", []byte(strings.Repeat("a", 40)+"\trefs/heads/main\n"))
	f.Fuzz(func(t *testing.T, ref string, answer []byte) {
		if name, object := contexts.Choose(ref, answer); object != "" && (len(object) < 40 || !strings.HasPrefix(name, "refs/")) {
			t.Errorf("chose %q, %q", name, object)
		}
	})
}
