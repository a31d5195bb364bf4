package patient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// StatusError is an answer that says no.
type StatusError struct {
	Method string
	Host   string
	Status int
	// Code is the registry's error code, such as MANIFEST_INVALID, if it sent
	// one.
	Code string
	// Message is what the registry said, on one line and without control
	// characters.
	Message string
	// RetryAfter is how long the registry asked to wait, zero if it didn't.
	RetryAfter time.Duration

	header http.Header
	body   []byte
}

func (e *StatusError) Error() string {
	text := strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)))
	switch {
	case e.Code != "" && e.Message != "":
		return fmt.Sprintf("%s: %s: %s", text, e.Code, e.Message)
	case e.Code != "" || e.Message != "":
		return fmt.Sprintf("%s: %s", text, e.Code+e.Message)
	}
	return text
}

// Transient reports whether the same request may succeed later.
func (e *StatusError) Transient() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

const mostWords = 64 << 10 // what is read of a refusal

// ReadStatus turns an answer into an error, and closes its body.
func ReadStatus(resp *http.Response) *StatusError {
	e := &StatusError{Status: resp.StatusCode, header: resp.Header}
	if resp.Request != nil {
		e.Method, e.Host = resp.Request.Method, resp.Request.URL.Host
	}
	if resp.Body != nil {
		e.body, _ = io.ReadAll(io.LimitReader(resp.Body, mostWords))
		_ = resp.Body.Close()
	}
	e.Code, e.Message = words(e.body)
	return e
}

// restore gives resp its body back.
func (e *StatusError) restore(resp *http.Response) *http.Response {
	resp.Body = io.NopCloser(bytes.NewReader(e.body))
	return resp
}

// words reads a registry's error document, or makes the best of a text or page
// from a proxy in front of it.
func words(body []byte) (code, message string) {
	var doc struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Detail  json.RawMessage `json:"detail"`
		} `json:"errors"`
		Details string `json:"details"` // token servers
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return "", oneLine(text(string(body)))
	}
	var said []string
	for _, e := range doc.Errors {
		if code == "" {
			code = oneLine(e.Code)
		}
		if e.Message != "" {
			said = append(said, e.Message)
		}
		if detail := strings.Trim(string(e.Detail), `"`); detail != "" && detail != "null" && detail != "{}" && detail != e.Message {
			said = append(said, detail)
		}
	}
	if len(doc.Errors) == 0 {
		said = append(said, doc.Details, doc.Message)
	}
	return code, oneLine(strings.Join(said, " "))
}

// text drops the markup of a page.
func text(page string) string {
	if !strings.Contains(page, "<") {
		return page
	}
	if _, rest, ok := strings.Cut(page, "<title>"); ok {
		title, _, _ := strings.Cut(rest, "</title>")
		return title
	}
	var out strings.Builder
	depth := 0
	for _, r := range page {
		switch r {
		case '<':
			depth++
		case '>':
			depth = max(0, depth-1)
			out.WriteByte(' ')
		default:
			if depth == 0 {
				out.WriteRune(r)
			}
		}
	}
	return out.String()
}

// oneLine makes foreign words fit to be printed: no control characters, which
// could steer a terminal, and no more than a few lines.
func oneLine(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}

// BrokenError is a request that got no answer.
//
// It has no Unwrap on purpose: containerd's client repeats requests whose error
// is io.EOF or a timeout at once, up to five times. After a broken upload of a
// manifest one has to look first whether it arrived.
type BrokenError struct {
	Method string
	Host   string
	cause  error
}

func (e *BrokenError) Error() string { return e.cause.Error() }

// Cause returns what went wrong.
func (e *BrokenError) Cause() error { return e.cause }

// Transient reports whether the same request may succeed later: the connection
// was cut, or the other side fell silent. A host that can't be found, refuses
// connections or shows a wrong certificate won't be another one in a second.
func (e *BrokenError) Transient() bool { return transient(e.cause) }

func transient(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		var lookup *net.DNSError
		return errors.As(err, &lookup) && (lookup.IsTemporary || lookup.IsTimeout)
	}
	for _, target := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, errNoAnswer, errStalled,
		connectionReset, connectionAborted, syscall.EPIPE,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	if strings.Contains(err.Error(), "server closed idle connection") || strings.Contains(err.Error(), "transport connection broken") {
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Refused reports whether err says that nothing listens at an address.
func Refused(err error) bool { return errors.Is(err, connectionRefused) }
