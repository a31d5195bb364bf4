package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerList
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == dockerManifest || isIndex(mediaType)
}

var accepted = strings.Join([]string{
	ocispec.MediaTypeImageIndex, dockerList, ocispec.MediaTypeImageManifest, dockerManifest, "*/*",
}, ", ")

// call is one request to a registry's API.
type call struct {
	method string
	t      target
	kind   string // manifests or blobs
	object string // tag, digest or uploads/
	query  url.Values
	url    *url.URL // instead of kind, object and query
	header http.Header

	open func() (io.ReadCloser, error) // body, nil for none
	size int64                         // of the body

	alsoPull string // another repository that the token has to give access to
}

// target returns the URL of r at host.
func (r call) target(host docker.RegistryHost) *url.URL {
	if r.url != nil {
		return r.url
	}
	u := &url.URL{
		Scheme: host.Scheme, Host: host.Host,
		Path:     path.Join("/", host.Path, r.t.repository, r.kind, r.object),
		RawQuery: r.query.Encode(),
	}
	if strings.HasSuffix(r.object, "/") {
		u.Path += "/"
	}
	if host.Capabilities&docker.HostCapabilityPush == 0 {
		u.RawQuery = url.Values{"ns": {r.t.domain}}.Encode() // tells a mirror of what
	}
	return u
}

// request returns r as an authorized HTTP request to host.
func (r call) request(ctx context.Context, host docker.RegistryHost) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.target(host).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	for key, values := range r.header {
		req.Header[key] = slices.Clone(values)
	}
	if err := host.Authorizer.Authorize(ctx, req); err != nil {
		return nil, err
	}
	if r.open != nil && r.size > 0 {
		body, err := r.open()
		if err != nil {
			return nil, err
		}
		req.Body, req.GetBody, req.ContentLength = body, r.open, r.size
	}
	return req, nil
}

// do sends r to host, with credentials if it asks for them. Answers other than
// 2xx are errors; the caller closes the body of the others.
func (c *Client) do(ctx context.Context, host docker.RegistryHost, r call) (*http.Response, error) {
	ctx = withScope(ctx, r.t)
	if r.alsoPull != "" {
		ctx = docker.ContextWithAppendPullRepositoryScope(ctx, r.alsoPull)
	}
	var refusals []*http.Response
	for {
		req, err := r.request(ctx, host)
		if err != nil {
			return nil, err
		}
		resp, err := host.Client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized {
			if resp.StatusCode < 200 || resp.StatusCode > 299 {
				return nil, patient.ReadStatus(resp)
			}
			return resp, nil
		}
		refusals = append(refusals, resp)
		err = host.Authorizer.AddResponses(ctx, refusals)
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
	}
}

// head asks what object, a tag or digest, is. Registries that don't answer HEAD
// requests in full are asked with GET.
func (c *Client) head(ctx context.Context, host docker.RegistryHost, t target, object string) (ocispec.Descriptor, error) {
	resp, err := c.do(ctx, host, call{
		method: http.MethodHead, t: t, kind: "manifests", object: object,
		header: http.Header{"Accept": {accepted}},
	})
	if err != nil {
		if !slices.Contains([]int{http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed}, statusOf(err)) {
			return ocispec.Descriptor{}, err
		}
		// These may be meant for HEAD only. And if not, the answer to GET says why.
		desc, _, err := c.get(ctx, host, t, object)
		return desc, err
	}
	_ = resp.Body.Close()
	desc := ocispec.Descriptor{
		MediaType: contentType(resp.Header),
		Digest:    digest.Digest(resp.Header.Get("Docker-Content-Digest")),
		Size:      resp.ContentLength,
	}
	if asked := digest.Digest(object); asked.Validate() == nil {
		desc.Digest = asked
	}
	if !isManifest(desc.MediaType) || desc.Digest.Validate() != nil || desc.Size <= 0 {
		desc, _, err = c.get(ctx, host, t, object)
		return desc, err
	}
	return desc, nil
}

// get reads object, a tag or digest. The descriptor is computed from the bytes:
// what the registry's headers say counts for nothing.
func (c *Client) get(ctx context.Context, host docker.RegistryHost, t target, object string) (ocispec.Descriptor, []byte, error) {
	resp, err := c.do(ctx, host, call{
		method: http.MethodGet, t: t, kind: "manifests", object: object,
		header: http.Header{"Accept": {accepted}},
	})
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxManifest+1))
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("reading the manifest %s: %w", object, err)
	}
	if len(body) > MaxManifest {
		return ocispec.Descriptor{}, nil, fmt.Errorf("reading the manifest %s: it is larger than %d bytes", object, MaxManifest)
	}
	algorithm := digest.Canonical
	asked := digest.Digest(object)
	if asked.Validate() == nil {
		algorithm = asked.Algorithm()
	} else {
		asked = ""
	}
	mediaType, err := manifestType(contentType(resp.Header), body)
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("reading the manifest %s: %w", object, err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: algorithm.FromBytes(body), Size: int64(len(body))}
	if asked != "" && desc.Digest != asked {
		return ocispec.Descriptor{}, nil, fmt.Errorf("reading the manifest %s: %w: it is %s", object, ErrDigest, desc.Digest)
	}
	return desc, body, nil
}

// put writes a manifest once.
func (c *Client) put(ctx context.Context, host docker.RegistryHost, t target, object string, desc ocispec.Descriptor, body []byte) error {
	resp, err := c.do(ctx, host, call{
		method: http.MethodPut, t: t, kind: "manifests", object: object,
		header: http.Header{"Content-Type": {desc.MediaType}}, size: int64(len(body)),
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// exists reports whether the repository has the content of desc.
func (c *Client) exists(ctx context.Context, host docker.RegistryHost, t target, desc ocispec.Descriptor) (bool, error) {
	if err := t.checkDigest(desc.Digest); err != nil {
		return false, err
	}
	ask := call{
		method: http.MethodHead, t: t, kind: "blobs", object: desc.Digest.String(),
		header: http.Header{"Accept": {accepted}},
	}
	if isManifest(desc.MediaType) {
		ask.kind = "manifests"
	}
	resp, err := c.do(ctx, host, ask)
	if statusOf(err) == http.StatusMethodNotAllowed {
		ask.method = http.MethodGet
		resp, err = c.do(ctx, host, ask)
	}
	if statusOf(err) == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, resp.Body.Close()
}

// statusOf returns the status of an answer that is an error, 0 for other errors.
func statusOf(err error) int {
	var refusal *patient.StatusError
	if errors.As(err, &refusal) {
		return refusal.Status
	}
	return 0
}

func contentType(header http.Header) string {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mediaType
}

// manifestType finds out what kind of manifest body is. What the document says
// itself wins over the type by which it was sent, which proxies get wrong.
func manifestType(announced string, body []byte) (string, error) {
	var doc struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		if announced == "" {
			announced = "something else"
		}
		return "", fmt.Errorf("the answer is %s, not a manifest; a proxy or login page may have answered for the registry", announced)
	}
	switch {
	case isManifest(doc.MediaType):
		return doc.MediaType, nil
	case doc.MediaType != "":
		return "", fmt.Errorf("it has the media type %.100q, which is not supported", doc.MediaType)
	case doc.SchemaVersion == 1:
		return "", errors.New("it is of schema version 1, which Docker gave up; push the image again with a current tool")
	case isManifest(announced):
		return announced, nil
	case doc.Manifests != nil:
		return ocispec.MediaTypeImageIndex, nil
	case doc.Config != nil:
		return ocispec.MediaTypeImageManifest, nil
	}
	return "", errors.New("it is JSON, but not a manifest")
}
