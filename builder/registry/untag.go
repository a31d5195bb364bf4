package registry

import (
	"context"
	"errors"
	"net/http"
)

// Untag removes the tag of ref. A tag that isn't there is no error. What the tag
// pointed to stays, by the distribution specification; there are registries that
// delete it too (GitHub's does) and registries that don't offer this at all.
func (c *Client) Untag(ctx context.Context, ref string) error {
	t, err := parse(ref)
	if err != nil {
		return err
	}
	if t.tag == "" || t.digest != "" {
		// Given a digest, the same request would delete the content.
		return c.fail("removing the tag", t, errors.New("the reference has a digest"))
	}
	s, err := c.site(t.domain)
	if err != nil {
		return c.fail("removing the tag", t, err)
	}
	ctx = c.begin(ctx, push)
	err = c.retry(ctx, t, func(int) error {
		resp, err := c.do(ctx, s.origin(), call{method: http.MethodDelete, t: t, kind: "manifests", object: t.tag})
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return c.fail("removing the tag", t, err)
}
