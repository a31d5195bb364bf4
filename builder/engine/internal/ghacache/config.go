package ghacache

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/util/tracing"
	bkversion "github.com/moby/buildkit/version"
	digest "github.com/opencontainers/go-digest"
	actionscache "github.com/tonistiigi/go-actions-cache"
)

// format is the version of the names and of what is stored under them.
const format = "1"

const defaultTimeout = 10 * time.Minute

// Config is what the attributes of a cache say.
type Config struct {
	Scope      string
	URL        string
	Token      string // of the runner
	V2         bool   // of the cache service
	Timeout    time.Duration
	Repository string
	GHToken    string // for GitHub's API
}

// ParseConfig reads the attributes.
func ParseConfig(attrs map[string]string) (Config, error) {
	c := Config{
		Scope: attrs["scope"], Token: attrs["token"], Timeout: defaultTimeout, Repository: attrs["repository"], GHToken: attrs["ghtoken"],
	}
	if c.Scope == "" {
		c.Scope = "buildkit"
	}
	if c.Token == "" {
		return c, errors.New("no token for the GitHub Actions cache; set token, or ACTIONS_RUNTIME_TOKEN for the client")
	}
	version := 0
	if v := attrs["version"]; v != "" {
		var err error
		if version, err = strconv.Atoi(v); err != nil {
			return c, fmt.Errorf("reading version=%s of the GitHub Actions cache: %w; write 1 or 2", v, err)
		}
	}
	switch {
	case version != 1 && attrs["url_v2"] != "":
		c.URL, c.V2 = attrs["url_v2"], true
	case attrs["url"] != "":
		c.URL = attrs["url"]
		c.V2 = version == 2 || version == 0 && strings.Contains(c.URL, "results-receiver.actions.githubusercontent.com")
	default:
		return c, errors.New("no URL of the GitHub Actions cache; set url or url_v2, or ACTIONS_RESULTS_URL for the client")
	}
	if v := attrs["timeout"]; v != "" {
		var err error
		if c.Timeout, err = time.ParseDuration(v); err != nil {
			return c, fmt.Errorf("reading timeout=%s of the GitHub Actions cache: %w; write 10m", v, err)
		}
	}
	return c, nil
}

func (c Config) open() (*actionscache.Cache, error) {
	cache, err := actionscache.New(c.Token, c.URL, c.V2, c.options())
	if err != nil {
		return nil, fmt.Errorf("opening the GitHub Actions cache: %w", err)
	}
	return cache, nil
}

func (c Config) options() actionscache.Opt {
	return actionscache.Opt{Client: tracing.DefaultClient, Timeout: c.Timeout, UserAgent: bkversion.UserAgent()}
}

const blobPrefix = "buildkit-blob-" + format + "-"

func blobKey(d digest.Digest) string { return blobPrefix + d.String() }

// indexKey names the index of a scope of the token: a branch, or what it comes from.
func (c Config) indexKey(scope string) string {
	return "index-" + c.Scope + "-" + format + "-" + digest.FromString(scope).Encoded()[:8]
}
