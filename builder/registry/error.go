package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

var (
	// ErrNotFound is matched by errors about a tag, manifest, blob or repository
	// that the registry says not to have.
	ErrNotFound = errors.New("not found")
	// ErrTagMoved is matched by the error of a push after which the tag points
	// to something else, because somebody else pushed it too.
	ErrTagMoved = errors.New("tag moved concurrently")
	// ErrDigest is matched by errors about content that isn't what its digest
	// says.
	ErrDigest = errors.New("content doesn't match its digest")
)

// Error is the failure of an operation on a reference. Every exported method
// that talks to a registry returns one.
type Error struct {
	// Op is what was being done, such as "pushing".
	Op string
	// Reference is what it was done to. It holds no credentials.
	Reference string
	// Status is the HTTP status of the registry's answer, 0 without one.
	Status int
	// Code is the registry's error code, such as DENIED, if it sent one.
	Code string
	// Message is what the registry said.
	Message string
	// Err is the cause.
	Err error
	// Hint says what to do about it. Error doesn't repeat it: print it after the
	// text of the error.
	Hint string
}

// Error says what failed and why, in the registry's own words where there are
// any, without credentials and without the queries of URLs.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Op, e.Reference, redact(e.Err.Error()))
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes an error about content that isn't there match [ErrNotFound].
func (e *Error) Is(err error) bool { return err == ErrNotFound && e.Status == http.StatusNotFound }

// Transient reports whether the same operation may succeed later: the registry
// was in trouble or busy, or the connection to it broke.
func (e *Error) Transient() bool { return transient(e.Err) != nil }

// fail describes err, the outcome of an operation on t.
func (c *Client) fail(op string, t target, err error) error {
	if err == nil {
		return nil
	}
	if described := (*Error)(nil); errors.As(err, &described) {
		return err
	}
	e := &Error{Op: op, Reference: t.String(), Err: clean(err)}
	var refusal *patient.StatusError
	var unexpected remoteerrors.ErrUnexpectedStatus
	switch {
	case errors.As(err, &refusal):
		e.Status, e.Code, e.Message = refusal.Status, refusal.Code, refusal.Message
	case errors.As(err, &unexpected):
		refusal = patient.ReadStatus(&http.Response{
			StatusCode: unexpected.StatusCode,
			Body:       io.NopCloser(strings.NewReader(string(unexpected.Body))),
		})
		e.Status, e.Code, e.Message, e.Err = refusal.Status, refusal.Code, refusal.Message, refusal
	case errdefs.IsNotFound(err):
		e.Status = http.StatusNotFound
	case errors.Is(err, docker.ErrInvalidAuthorization):
		e.Status = http.StatusUnauthorized
	}
	e.Hint = c.hint(e, t)
	return e
}

// clean drops the wrapping of net/http and containerd, which shows URLs with
// their queries, around the cause that a user can do something about.
func clean(err error) error {
	var (
		child     *childError
		foreign   *foreignError
		immutable *tagError
		refusal   *patient.StatusError
		broken    *patient.BrokenError
		inURL     *url.Error
	)
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &child):
		return child
	case errors.As(err, &foreign):
		return foreign
	case errors.As(err, &immutable):
		return immutable
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &broken):
		return broken
	case errors.As(err, &inURL):
		return inURL.Err
	}
	return err
}

// transient returns the part of err that says that trying again is worthwhile,
// nil if nothing does.
func transient(err error) error {
	var refusal *patient.StatusError
	if errors.As(err, &refusal) {
		// An upload that the registry has forgotten is started anew.
		if refusal.Transient() || refusal.Code == "BLOB_UPLOAD_UNKNOWN" || refusal.Code == "BLOB_UPLOAD_INVALID" {
			return refusal
		}
		return nil
	}
	var broken *patient.BrokenError
	if errors.As(err, &broken) {
		if broken.Transient() {
			return broken
		}
		return nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// lateError is content that the registry accepted and doesn't show.
type lateError struct{ object string }

func (e *lateError) Error() string {
	return fmt.Sprintf("%s was pushed but doesn't show up within %s", e.object, lagLimit)
}

// Is makes the error match ErrNotFound.
func (e *lateError) Is(err error) bool { return err == ErrNotFound }

// childError is the refusal of a manifest because of content that it refers to.
type childError struct {
	digest  string
	refusal error
}

func (e *childError) Error() string {
	return fmt.Sprintf("the repository doesn't have %s, which the manifest refers to: %v", e.digest, e.refusal)
}

func (e *childError) Unwrap() error { return e.refusal }

// tagError is the refusal to move a tag.
type tagError struct {
	tag     string
	digest  string // what the tag points to
	refusal error
}

func (e *tagError) Error() string {
	return fmt.Sprintf("the tag %s points to %s and the registry doesn't let it move: %v", e.tag, e.digest, e.refusal)
}

func (e *tagError) Unwrap() error { return e.refusal }

// foreignError is the refusal of a manifest with a layer that lives elsewhere.
type foreignError struct {
	url     string
	refusal error
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("the image has a layer that is meant to be fetched from %s: %v", e.url, e.refusal)
}

func (e *foreignError) Unwrap() error { return e.refusal }

// roundWait is for messages.
func roundWait(d time.Duration) time.Duration { return max(time.Second, d.Round(time.Second)) }

var (
	userinfo = regexp.MustCompile(`//[^/@\s"]*@`)
	query    = regexp.MustCompile(`\?[^\s"]+`)
	scheme   = regexp.MustCompile(`^[a-z]+://`)
	userpart = regexp.MustCompile(`^[^/@\s]+@([^/@\s]*/)`)
)

// redact removes what may be a secret from a text with URLs: user names and
// passwords, and queries, in which registries put tokens and signatures.
func redact(text string) string {
	text = userinfo.ReplaceAllString(text, "//")
	if !scheme.MatchString(text) {
		// user:password@host/name isn't a reference, but users try it.
		text = userpart.ReplaceAllString(text, "$1")
	}
	return query.ReplaceAllString(text, "")
}
