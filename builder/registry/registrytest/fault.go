package registrytest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
)

// Fault answers a request in next's place, or spoils next's answer.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Status answers with a status, a body, and header pairs.
func Status(code int, body string, header ...string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		// Unread, the upload's connection would be cut instead of answered.
		_, _ = io.Copy(io.Discard, r.Body)
		set(w.Header(), header)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// Early answers with a status without reading the request's body, and closes the
// connection.
func Early(code int, body string, header ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		set(w.Header(), header)
		w.Header().Set("Connection", "close")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// Refuse answers with a registry's error document.
func Refuse(status int, code, message string) Fault {
	return Status(status, fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, code, message), "Content-Type", "application/json")
}

// Stored passes the request on and then answers with a status all the same, as a
// gateway does that has lost patience.
func Stored(status int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		ask(r, next)
		w.WriteHeader(status)
	}
}

// Reset cuts the connection hard after n bytes of the request's body.
func Reset(n int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, n)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		for {
			wrapped, ok := conn.(interface{ NetConn() net.Conn })
			if !ok {
				break
			}
			conn = wrapped.NetConn()
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// StoredReset passes the request on and then cuts the connection instead of
// answering.
func StoredReset() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		ask(r, next)
		Reset(0)(w, r, next)
	}
}

// Cut delivers n bytes of the answer's body and then cuts the connection.
func Cut(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		recorder := ask(r, next)
		body := recorder.Body.Bytes()
		recorder.Header().Set("Content-Length", fmt.Sprint(len(body)))
		deliver(w, recorder, body[:min(n, len(body))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Body changes the body of the answer, as if it were meant so.
func Body(change func([]byte) []byte) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		recorder := ask(r, next)
		body := change(recorder.Body.Bytes())
		recorder.Header().Set("Content-Length", fmt.Sprint(len(body)))
		deliver(w, recorder, body)
	}
}

// Flip changes one byte in the middle of the answer's body.
func Flip() Fault {
	return Body(func(body []byte) []byte {
		body = bytes.Clone(body)
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		return body
	})
}

// Header sets headers of the answer, given as pairs. An empty value removes one.
func Header(header ...string) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		recorder := ask(r, next)
		set(recorder.Header(), header)
		deliver(w, recorder, recorder.Body.Bytes())
	}
}

// Redirect sends the client elsewhere.
func Redirect(status int, location string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Location", location)
		w.WriteHeader(status)
	}
}

// Silence doesn't answer until the client gives up.
func Silence() Fault {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// After runs f when a request arrives, and passes it on.
func After(f func()) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, r)
		f()
	}
}

// Immutable refuses to write a tag with other content than before, as ECR does
// when told so.
func Immutable() Fault {
	var mu sync.Mutex
	tags := map[string]digest.Digest{}
	tag := regexp.MustCompile(`^/v2/(.+)/manifests/([^:]+)$`)
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodPut || !tag.MatchString(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		now := digest.FromBytes(body)
		if before, ok := tags[r.URL.Path]; ok && before != now {
			Refuse(http.StatusBadRequest, "TAG_INVALID",
				"The image tag already exists in the repository and cannot be overwritten because the repository is immutable.")(w, r, next)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		recorder := ask(r, next)
		if recorder.Code < 300 {
			tags[r.URL.Path] = now
		}
		deliver(w, recorder, recorder.Body.Bytes())
	}
}

// Once refuses the second time that the same manifest is written to the same
// place, with 409.
func Once() Fault {
	var mu sync.Mutex
	written := map[string]bool{}
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, Manifests) {
			next.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if written[r.URL.Path] {
			Refuse(http.StatusConflict, "CONFLICT", "manifest exists")(w, r, next)
			return
		}
		written[r.URL.Path] = true
		next.ServeHTTP(w, r)
	}
}

func set(header http.Header, pairs []string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		header.Del(pairs[i])
		if pairs[i+1] != "" {
			header.Set(pairs[i], pairs[i+1])
		}
	}
}
