package patient_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// Case 77: the registry's own words reach the user.
func TestReadStatus(t *testing.T) {
	long := strings.Repeat("word ", 1000)
	tests := []struct{ name, body, want string }{
		{"nothing", "", "413 Request Entity Too Large"},
		{"registry", `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, "413 Request Entity Too Large: DENIED: requested access to the resource is denied"},
		{"detail", `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":"sha256:abc"}]}`, "413 Request Entity Too Large: MANIFEST_BLOB_UNKNOWN: blob unknown to registry sha256:abc"},
		{"object as detail", `{"errors":[{"code":"X","message":"m","detail":{"Name":"a/b"}}]}`, `413 Request Entity Too Large: X: m {"Name":"a/b"}`},
		{"empty detail", `{"errors":[{"code":"X","message":"m","detail":{}},{"code":"Y","message":"n","detail":null}]}`, "413 Request Entity Too Large: X: m n"},
		{"no errors", `{"errors":[]}`, "413 Request Entity Too Large"},
		{"token server", `{"details":"incorrect username or password"}`, "413 Request Entity Too Large: incorrect username or password"},
		{"page", "<html>\r\n<head><title>413 Request Entity Too Large</title></head><body>nginx</body></html>", "413 Request Entity Too Large: 413 Request Entity Too Large"},
		{"page without title", "<p>Too <b>large</b></p>", "413 Request Entity Too Large: Too large"},
		{"text", "too large\n", "413 Request Entity Too Large: too large"},
		{"terminal escapes", "\x1b[31mred\x07\u202e", "413 Request Entity Too Large: [31mred"},
		{"not utf-8", "a\xff", "413 Request Entity Too Large: a\ufffd"},
		{"long", long, "413 Request Entity Too Large: " + strings.TrimSpace(long)[:300] + "…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := patient.ReadStatus(&http.Response{StatusCode: 413, Body: io.NopCloser(strings.NewReader(test.body))})
			if got.Error() != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func FuzzReadStatus(f *testing.F) {
	f.Add(`{"errors":[{"code":"DENIED","message":"m","detail":{"a":1}}]}`)
	f.Add("<title>x</title>")
	f.Add("<<>")
	f.Fuzz(func(t *testing.T, body string) {
		got := patient.ReadStatus(&http.Response{StatusCode: 400, Body: io.NopCloser(strings.NewReader(body))}).Error()
		if !utf8.ValidString(got) || len([]rune(got)) > 1000 || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("unfit to print: %q", got)
		}
	})
}

func TestBrokenErrorTransient(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	tests := []struct {
		err  error
		want bool
	}{
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, true},
		{errors.New("http: server closed idle connection"), true},
		{dial(syscall.ECONNREFUSED), false},
		{dial(&net.DNSError{Err: "no such host", IsNotFound: true}), false},
		{dial(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), true},
		{errors.New("x509: certificate signed by unknown authority"), false},
	}
	for _, test := range tests {
		t.Run(test.err.Error(), func(t *testing.T) {
			transport := &patient.Transport{Base: script(answer{err: test.err})}
			_, err := transport.RoundTrip(request(t, http.MethodGet, registry, ""))
			var broken *patient.BrokenError
			if !errors.As(err, &broken) || broken.Transient() != test.want || err.Error() != test.err.Error() {
				t.Errorf("got %v", err)
			}
			// containerd would repeat the request at once if it saw the cause.
			if wrapped := fmt.Errorf("failed to do request: %w", err); errors.Is(wrapped, io.EOF) {
				t.Error("io.EOF shows through")
			}
		})
	}
}
