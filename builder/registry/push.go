package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// lagLimit bounds the wait for something that was written to become visible.
// ECR public and GHCR take seconds.
const lagLimit = time.Minute

// PushManifest writes a manifest or index, body, to which everything that it
// refers to has been pushed already. desc is its descriptor.
//
// If ref has a digest the manifest is written by digest and no tag changes.
// Otherwise it is written under the tag, once. If the tag points to it already,
// nothing is written. The tag is read back afterwards: an error that matches
// [ErrTagMoved] says that it points to something else by then.
//
// After an answer that leaves open what happened, such as 504, the registry is
// asked before anything is repeated. A registry that doesn't know a child yet
// which is known to be there gets up to a minute.
func (c *Client) PushManifest(ctx context.Context, ref string, desc ocispec.Descriptor, body []byte) error {
	t, err := parse(ref)
	if err != nil {
		return err
	}
	if err := checkBody(t, desc, body); err != nil {
		return c.fail("pushing", t, err)
	}
	s, err := c.site(t.domain)
	if err != nil {
		return c.fail("pushing", t, err)
	}
	ctx = c.begin(ctx, push)
	w := write{c: c, host: s.origin(), t: t, desc: desc, body: body}
	if t.digest != "" {
		return c.fail("pushing", t, w.byDigest(ctx))
	}
	return c.fail("pushing", t, w.byTag(ctx))
}

func checkBody(t target, desc ocispec.Descriptor, body []byte) error {
	if err := t.checkDigest(desc.Digest); err != nil {
		return err
	}
	switch got := desc.Digest.Algorithm().FromBytes(body); {
	case got != desc.Digest || int64(len(body)) != desc.Size:
		return fmt.Errorf("%w: the manifest is %s of %d bytes, not %s of %d", ErrDigest, got, len(body), desc.Digest, desc.Size)
	case t.digest != "" && t.digest != desc.Digest:
		return fmt.Errorf("%w: the reference names %s, the manifest is %s", ErrDigest, t.digest, desc.Digest)
	case len(body) > MaxManifest:
		return fmt.Errorf("the manifest has %d bytes, more than the %d that registries accept", len(body), MaxManifest)
	case !isManifest(desc.MediaType):
		return fmt.Errorf("%q is not the media type of a manifest or index", desc.MediaType)
	}
	return nil
}

// write is one manifest on its way to one place.
type write struct {
	c    *Client
	host docker.RegistryHost
	t    target
	desc ocispec.Descriptor
	body []byte
}

// byDigest writes the manifest under its digest.
func (w write) byDigest(ctx context.Context) error {
	object := w.desc.Digest.String()
	var there bool
	err := w.c.retry(ctx, w.t, func(int) (err error) {
		there, err = w.c.exists(ctx, w.host, w.t, w.desc)
		return err
	})
	if err == nil && !there {
		err = w.put(ctx, object)
	}
	if err == nil {
		w.c.markSeen(w.t, object)
	}
	return err
}

// byTag writes the manifest under the tag and makes sure that it is there.
func (w write) byTag(ctx context.Context) error {
	var before ocispec.Descriptor
	err := w.c.retry(ctx, w.t, func(int) (err error) {
		before, err = w.c.head(ctx, w.host, w.t, w.t.tag)
		return err
	})
	if err != nil && statusOf(err) != http.StatusNotFound {
		return err
	}
	if before.Digest == w.desc.Digest {
		// So says a header. The bytes decide.
		if same, _ := w.holds(ctx, w.t.tag); same {
			return nil
		}
	}
	if err := w.put(ctx, w.t.tag); err != nil {
		return w.immutable(before, err)
	}
	return w.confirm(ctx, before)
}

// put writes the manifest under object, a tag or digest, repeating what may be
// repeated.
func (w write) put(ctx context.Context, object string) error {
	lag := newPatience(w.c.clock, lagLimit)
	for {
		err := w.c.retry(ctx, w.t, func(attempt int) error {
			if attempt > 0 {
				// The answer to the attempt before left open whether the manifest
				// was stored.
				if same, err := w.holds(ctx, object); same && err == nil {
					return nil
				}
			}
			return w.c.put(ctx, w.host, w.t, object, w.desc, w.body)
		})
		var refusal *patient.StatusError
		if !errors.As(err, &refusal) {
			return err
		}
		if refusal.Status == http.StatusConflict {
			if same, _ := w.holds(ctx, object); same {
				return nil
			}
			return err
		}
		if url := w.foreign(refusal); url != "" {
			return &foreignError{url: url, refusal: refusal}
		}
		if !aboutChild(refusal) {
			return err
		}
		if missing := w.missingChild(ctx); missing != "" {
			return &childError{digest: missing, refusal: refusal}
		}
		again, waitErr := lag.next(ctx)
		if waitErr != nil {
			return waitErr
		}
		if !again {
			return err
		}
	}
}

// holds reports whether object is the manifest. For a tag it reads the bytes.
func (w write) holds(ctx context.Context, object string) (bool, error) {
	if object == w.desc.Digest.String() {
		return w.c.exists(ctx, w.host, w.t, w.desc)
	}
	desc, _, err := w.c.get(ctx, w.host, w.t, object)
	return desc.Digest == w.desc.Digest, err
}

// confirm reads the tag back until it shows what was written. before is what it
// showed before, which a lagging registry may go on to show for a while.
func (w write) confirm(ctx context.Context, before ocispec.Descriptor) error {
	lag := newPatience(w.c.clock, lagLimit)
	for {
		var desc ocispec.Descriptor
		err := w.c.retry(ctx, w.t, func(int) (err error) {
			desc, _, err = w.c.get(ctx, w.host, w.t, w.t.tag)
			return err
		})
		switch {
		case err == nil && desc.Digest == w.desc.Digest:
			w.c.markSeen(w.t, desc.Digest.String())
			return nil
		case err == nil && desc.Digest != before.Digest:
			return fmt.Errorf("%w: %s points to %s instead of %s", ErrTagMoved, w.t.tag, desc.Digest, w.desc.Digest)
		case err != nil && statusOf(err) != http.StatusNotFound:
			return fmt.Errorf("reading back what was pushed: %w", err)
		}
		again, waitErr := lag.next(ctx)
		switch {
		case waitErr != nil:
			return waitErr
		case again:
		case err != nil:
			return &lateError{w.t.tag}
		default:
			return fmt.Errorf("%w: %s points to %s again, as before the push", ErrTagMoved, w.t.tag, desc.Digest)
		}
	}
}

// immutable recognises the refusal to move a tag.
func (w write) immutable(before ocispec.Descriptor, err error) error {
	var refusal *patient.StatusError
	if before.Digest == "" || !errors.As(err, &refusal) {
		return err
	}
	switch refusal.Status {
	case http.StatusConflict, http.StatusPreconditionFailed:
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed:
		if refusal.Code != "TAG_INVALID" && !containsFold(refusal.Code+" "+refusal.Message, "immutable", "already exists", "already_exists", "overwrit") {
			return err
		}
	default:
		return err
	}
	return &tagError{tag: w.t.tag, digest: before.Digest.String(), refusal: refusal}
}

// aboutChild recognises the refusal of a manifest because the registry doesn't
// have something that it refers to.
func aboutChild(refusal *patient.StatusError) bool {
	return refusal.Method == http.MethodPut &&
		slices.Contains([]string{"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"}, refusal.Code)
}

// foreign returns the address of a layer that lives elsewhere if that may be the
// reason for a refusal. Distribution answers 500, or that it doesn't know the
// blob.
func (w write) foreign(refusal *patient.StatusError) string {
	if !slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusInternalServerError}, refusal.Status) {
		return ""
	}
	content, err := contentOf(w.desc.MediaType, w.body)
	if err != nil {
		return ""
	}
	for _, child := range content {
		if isForeign(child) && (!aboutChild(refusal) || containsFold(refusal.Message, child.Digest.String())) {
			return redact(child.URLs[0])
		}
	}
	return ""
}

// missingChild returns the first child that the registry doesn't have and that
// this client doesn't know to have been there a moment ago.
func (w write) missingChild(ctx context.Context) string {
	content, err := contentOf(w.desc.MediaType, w.body)
	if err != nil {
		return ""
	}
	for _, child := range content {
		if isForeign(child) || w.c.wasSeen(w.t, child.Digest.String()) {
			continue
		}
		if there, err := w.c.exists(ctx, w.host, w.t, child); err == nil && !there {
			return child.Digest.String()
		}
	}
	return ""
}
