package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/planner"
)

// cacheSpec is one --cache-from or --cache-to.
type cacheSpec struct {
	kind  string
	attrs map[string]string
	// split gives each platform a cache of its own: whoever exports to one place last
	// replaces what the others wrote (case 37).
	split bool
}

// cacheTypes are BuildKit's, and the attribute that says where the cache is, by which
// platforms are kept apart.
var cacheTypes = map[string]string{
	"registry": "ref", "local": "", "inline": "", "gha": "scope", "s3": "name", "azblob": "name",
}

// defaultPlace is BuildKit's scope and name if none is given.
const defaultPlace = "buildkit"

// caches reads the flags, with what the environment adds.
func (f *inputFlags) caches(o *buildOptions) (err error) {
	in := &o.inputs
	if in.cacheFrom, err = parseCaches("--cache-from", f.cacheFrom); err != nil {
		return err
	}
	if in.cacheTo, err = parseCaches("--cache-to", f.cacheTo); err != nil {
		return err
	}
	if slices.ContainsFunc(in.cacheFrom, func(c cacheSpec) bool { return c.kind == "inline" }) {
		return usagef("--cache-from type=inline does not exist: an inline cache is imported from its image, by --cache-from REF")
	}
	if inline, _ := strconv.ParseBool(o.args["BUILDKIT_INLINE_CACHE"]); inline {
		in.cacheTo = append(in.cacheTo, cacheSpec{kind: "inline", attrs: map[string]string{}})
	}
	return nil
}

// parseCaches reads the values of a flag: REF, a list of them, or type=TYPE,key=value….
func parseCaches(flag string, values []string) ([]cacheSpec, error) {
	var specs []cacheSpec
	for _, value := range values {
		fields, err := csvvalue.Fields(value, nil)
		if err != nil {
			return nil, usagef("%s %q: %w", flag, value, err)
		}
		if !strings.Contains(value, "=") {
			for _, ref := range fields {
				spec := cacheSpec{kind: "registry", attrs: map[string]string{"ref": ref}, split: true}
				if err := spec.check(flag); err != nil {
					return nil, err
				}
				specs = append(specs, spec)
			}
			continue
		}
		spec := cacheSpec{attrs: make(map[string]string), split: true}
		for _, field := range fields {
			if err := spec.set(field); err != nil {
				return nil, usagef("%s %q: %w", flag, value, err)
			}
		}
		if err := spec.check(flag); err != nil {
			return nil, err
		}
		if spec.addEnvironment() {
			specs = append(specs, spec)
		} else {
			logger().Warn("there is no GitHub Actions cache here; building without it", "flag", flag,
				"missing", "ACTIONS_RUNTIME_TOKEN, and ACTIONS_RESULTS_URL or ACTIONS_CACHE_URL")
		}
	}
	return specs, nil
}

func (c *cacheSpec) set(field string) (err error) {
	name, value, found := strings.Cut(field, "=")
	switch name = strings.ToLower(strings.TrimSpace(name)); {
	case !found:
		return fmt.Errorf("%q is not key=value", field)
	case name == "type":
		c.kind = value
	case name == "platform-split":
		if c.split, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("platform-split=%s is neither true nor false", value)
		}
	default:
		c.attrs[name] = value
	}
	return nil
}

func (c *cacheSpec) check(flag string) error {
	if _, known := cacheTypes[c.kind]; !known {
		return usagef("%s: type=%s is unknown; use registry, local, inline, gha, s3 or azblob", flag, c.kind)
	}
	needed := map[string]string{"registry": "ref", "local": "src"}[c.kind]
	if flag == "--cache-to" && c.kind == "local" {
		needed = "dest"
	}
	if needed != "" && c.attrs[needed] == "" {
		return usagef("%s: type=%s needs %s=…", flag, c.kind, needed)
	}
	if mode := c.attrs["mode"]; mode != "" && mode != "min" && mode != "max" {
		return usagef("%s: mode=%s is unknown; use min or max", flag, mode)
	}
	if ignore := c.attrs["ignore-error"]; ignore != "" {
		if _, err := strconv.ParseBool(ignore); err != nil {
			return usagef("%s: ignore-error=%s is neither true nor false", flag, ignore)
		}
	}
	if c.kind != "registry" {
		return nil
	}
	if _, err := platformRef(c.attrs["ref"], "linux-arm64"); err != nil {
		return usagef("%s: the reference %q is not valid: %w", flag, c.attrs["ref"], err)
	}
	return nil
}

// addEnvironment adds what buildx takes from the environment, and reports whether the
// cache can be there at all.
func (c *cacheSpec) addEnvironment() bool {
	from := func(attr string, names ...string) {
		for _, name := range names {
			if value := os.Getenv(name); value != "" && c.attrs[attr] == "" {
				c.attrs[attr] = value
			}
		}
	}
	switch c.kind {
	case "gha":
		from("token", "ACTIONS_RUNTIME_TOKEN")
		v2, _ := strconv.ParseBool(os.Getenv("ACTIONS_CACHE_SERVICE_V2"))
		if c.attrs["version"] == "2" || c.attrs["version"] == "" && v2 {
			from("url_v2", "ACTIONS_RESULTS_URL")
		}
		from("url", "ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL")
		return c.attrs["token"] != "" && c.attrs["url"]+c.attrs["url_v2"] != ""
	case "s3":
		if c.attrs["access_key_id"] == "" && c.attrs["secret_access_key"] == "" {
			from("access_key_id", "AWS_ACCESS_KEY_ID")
			from("secret_access_key", "AWS_SECRET_ACCESS_KEY")
			from("session_token", "AWS_SESSION_TOKEN")
		}
	}
	return true
}

// suffix is what a platform is called in the names of caches.
func suffix(platform ocispec.Platform) string {
	return strings.ReplaceAll(platforms.Format(platforms.Normalize(platform)), "/", "-")
}

// platformRef is a platform's own tag: REF-linux-arm64.
func platformRef(ref, suffix string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", err
	}
	if _, pinned := named.(reference.Digested); pinned {
		return ref, nil
	}
	tag := "latest"
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	own, err := reference.WithTag(reference.TrimNamed(named), tag+"-"+suffix)
	if err != nil {
		return "", fmt.Errorf("with %q behind the tag: %w", "-"+suffix, err)
	}
	return own.String(), nil
}

// entry is the cache under the name for one platform, or under its plain name if the
// suffix is empty.
func (c cacheSpec) entry(suffix string) client.CacheOptionsEntry {
	e := client.CacheOptionsEntry{Type: c.kind, Attrs: maps.Clone(c.attrs)}
	if suffix == "" {
		return e
	}
	switch attr := cacheTypes[c.kind]; {
	case c.kind == "registry":
		if own, err := platformRef(c.attrs[attr], suffix); err == nil { // checked before
			e.Attrs[attr] = own
		}
	case c.kind == "local":
		for _, attr := range []string{"src", "dest"} {
			if e.Attrs[attr] != "" {
				e.Attrs[attr] = filepath.Join(e.Attrs[attr], suffix)
			}
		}
	case attr != "":
		names := strings.Split(e.Attrs[attr], ";") // s3 and azblob can have several
		for i, name := range names {
			if name == "" {
				name = defaultPlace
			}
			names[i] = name + "-" + suffix
		}
		e.Attrs[attr] = strings.Join(names, ";")
	}
	return e
}

// caches are those of a build.
type caches struct {
	imports []client.CacheOptionsEntry // the same for all jobs
	exports []cacheSpec
}

func (c *caches) from(planner.Job) []client.CacheOptionsEntry { return c.imports }

func (c *caches) to(job planner.Job) []client.CacheOptionsEntry {
	var list []client.CacheOptionsEntry
	for _, spec := range c.exports {
		own := ""
		if spec.split {
			own = suffix(job.Platform)
		}
		list = append(list, spec.entry(own))
	}
	return list
}

// prober says whether a registry has a reference.
type prober interface {
	Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error)
}

// probeTime bounds the search for caches; what is not known by then is left to the
// daemon.
const probeTime = 10 * time.Second

// openCaches finds the caches to import: of all platforms, and under the plain name,
// which is that of an image with inline cache or of a cache from another tool. What is
// not there is left out, since the daemon would report each as an error.
func (in *inputs) openCaches(ctx context.Context, plan *planner.Plan, has prober) *caches {
	c := &caches{exports: in.cacheTo}
	for _, spec := range in.cacheFrom {
		var candidates []client.CacheOptionsEntry
		if spec.split && spec.attrs["digest"] == "" {
			for _, job := range plan.Jobs {
				candidates = append(candidates, spec.entry(suffix(job.Platform)))
			}
		}
		candidates = append(candidates, spec.entry(""))
		found := existing(ctx, candidates, has)
		if len(found) == 0 {
			logger().InfoContext(ctx, "there is no cache yet", "type", spec.kind, "at", spec.attrs["ref"]+spec.attrs["src"])
		}
		c.imports = append(c.imports, found...)
	}
	return c
}

// existing returns the caches that are not known to be missing.
func existing(ctx context.Context, candidates []client.CacheOptionsEntry, has prober) []client.CacheOptionsEntry {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, errors.New("looking for caches took too long"))
	defer cancel()
	missing := make([]bool, len(candidates))
	var group sync.WaitGroup
	for i, cache := range candidates {
		switch cache.Type {
		case "local":
			_, err := os.Stat(filepath.Join(cache.Attrs["src"], ocispec.ImageIndexFile))
			missing[i] = err != nil && cache.Attrs["digest"] == ""
		case "registry":
			group.Go(func() {
				_, err := has.Resolve(ctx, cache.Attrs["ref"])
				missing[i] = errors.Is(err, registry.ErrNotFound)
			})
		}
	}
	group.Wait()
	var found []client.CacheOptionsEntry
	seen := make(map[string]bool)
	for i, cache := range candidates {
		if id := fmt.Sprint(cache.Type, cache.Attrs); !missing[i] && !seen[id] {
			seen[id] = true
			found = append(found, cache)
		}
	}
	return found
}
