package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/planner"
)

// having is a registry with these references.
type having []string

func (h having) Resolve(_ context.Context, ref string) (ocispec.Descriptor, error) {
	switch {
	case slices.Contains(h, ref):
		return ocispec.Descriptor{}, nil
	case strings.HasPrefix(ref, "broken.example/"):
		return ocispec.Descriptor{}, errors.New("no answer")
	}
	return ocispec.Descriptor{}, &registry.Error{Op: "resolving", Reference: ref, Err: registry.ErrNotFound}
}

// text is TYPE with the attributes in order.
func text(list []client.CacheOptionsEntry) []string {
	var texts []string
	for _, e := range list {
		line := e.Type
		for _, name := range slices.Sorted(maps.Keys(e.Attrs)) {
			line += "," + name + "=" + e.Attrs[name]
		}
		texts = append(texts, line)
	}
	return texts
}

func planFor(t *testing.T, list string) *planner.Plan {
	t.Helper()
	wanted, err := planner.ParsePlatforms(list)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planner.Expand([]byte("FROM scratch\n"), planner.Options{Platforms: wanted})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestCacheNames: one name becomes one per platform (case 37).
func TestCacheNames(t *testing.T) {
	for _, name := range []string{"ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL"} {
		t.Setenv(name, name)
	}
	t.Setenv("ACTIONS_CACHE_SERVICE_V2", "1")
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ACTIONS_CACHE_URL"} {
		t.Setenv(name, "")
	}
	pinned := "r.example/a@sha256:" + strings.Repeat("0", 64)
	const actions = ",token=ACTIONS_RUNTIME_TOKEN,url=ACTIONS_RESULTS_URL,url_v2=ACTIONS_RESULTS_URL"
	for value, want := range map[string]string{
		"r.example/a:x":      "registry,ref=r.example/a:x-linux-arm-v7",
		"user/app":           "registry,ref=docker.io/user/app:latest-linux-arm-v7",
		"localhost:5000/app": "registry,ref=localhost:5000/app:latest-linux-arm-v7",
		pinned:               "registry,ref=" + pinned,
		"type=registry,ref=r.example/a:x,mode=max":  "registry,mode=max,ref=r.example/a:x-linux-arm-v7",
		"type=local,dest=/c,src=/c":                 "local,dest=/c/linux-arm-v7,src=/c/linux-arm-v7",
		"type=gha":                                  "gha,scope=buildkit-linux-arm-v7" + actions,
		"type=gha,scope=s":                          "gha,scope=s-linux-arm-v7" + actions,
		"type=s3,bucket=b,name=n;m":                 "s3,access_key_id=id,bucket=b,name=n-linux-arm-v7;m-linux-arm-v7",
		"type=azblob":                               "azblob,name=buildkit-linux-arm-v7",
		"type=inline":                               "inline",
		"type=gha,platform-split=false":             "gha" + actions,
		"type=registry,ref=a/b,platform-split=0":    "registry,ref=a/b",
		`type=registry,"ref=a/b:c",ignore-error=1`:  "registry,ignore-error=1,ref=docker.io/a/b:c-linux-arm-v7",
		"type=s3,access_key_id=x,bucket=b,region=r": "s3,access_key_id=x,bucket=b,name=buildkit-linux-arm-v7,region=r",
	} {
		t.Run(value, func(t *testing.T) {
			o, err := parsed(t, "--cache-to", value)
			if err != nil {
				t.Fatal(err)
			}
			c := o.inputs.openCaches(t.Context(), planFor(t, "linux/arm/v7"), having{})
			if diff := cmp.Diff([]string{want}, text(c.to(planFor(t, "linux/arm/v7").Jobs[0]))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestCacheImports: those of all platforms and the plain name, unless known to be
// missing.
func TestCacheImports(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"linux-amd64", "."} {
		name := filepath.Join(dir, sub, "index.json")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := parsed(t, "--cache-from", "r.example/a:x,r.example/b", "--cache-from", "type=local,src="+dir, "--cache-from", "broken.example/c:1", "--cache-from", "type=azblob")
	if err != nil {
		t.Fatal(err)
	}
	plan := planFor(t, "linux/amd64,linux/arm64")
	c := o.inputs.openCaches(t.Context(), plan, having{"r.example/a:x-linux-amd64", "r.example/a:x-linux-arm64", "r.example/b"})
	want := []string{
		"registry,ref=r.example/a:x-linux-amd64", "registry,ref=r.example/a:x-linux-arm64",
		"registry,ref=r.example/b",
		"local,src=" + dir + "/linux-amd64", "local,src=" + dir,
		"registry,ref=broken.example/c:1-linux-amd64", "registry,ref=broken.example/c:1-linux-arm64", "registry,ref=broken.example/c:1",
		"azblob,name=buildkit-linux-amd64", "azblob,name=buildkit-linux-arm64", "azblob",
	}
	if diff := cmp.Diff(want, text(c.from(plan.Jobs[0]))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAttests(t *testing.T) {
	for args, want := range map[string]map[string]string{
		"":                                   {},
		"--provenance=false":                 {},
		"--provenance=true --sbom=true":      {"attest:provenance": "type=provenance", "attest:sbom": "type=sbom"},
		"--provenance=mode=max,builder-id=x": {"attest:provenance": "type=provenance,builder-id=x,mode=max"},
		"--sbom=generator=a/b":               {"attest:sbom": "type=sbom,generator=a/b"},
		"--attest type=provenance,mode=min --attest type=sbom,disabled=true":     {"attest:provenance": "type=provenance,mode=min"},
		"--attest type=provenance,mode=min --provenance=mode=max":                {"attest:provenance": "type=provenance,mode=min"},
		`--attest type=sbom,"generator=a,b"`:                                     {"attest:sbom": `type=sbom,"generator=a,b"`},
		"--attest type=provenance,disabled=true --provenance=mode=max,version=1": {},
	} {
		t.Run(args, func(t *testing.T) {
			o, err := parsed(t, strings.Fields(args)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, o.inputs.requests); diff != "" || o.inputs.attested != (len(want) > 0) {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnnotationLevels(t *testing.T) {
	list, err := parseAnnotations([]string{"a=1", "manifest[linux/arm64/v8]:a=2", "index,index-descriptor:b=x=y", "manifest-descriptor:c="})
	if err != nil {
		t.Fatal(err)
	}
	plan := planFor(t, "linux/amd64,linux/arm64")
	amd, arm := &plan.Jobs[0].Platform, &plan.Jobs[1].Platform
	for name, test := range map[string]struct{ got, want map[string]string }{
		"others":     {list.at("manifest", amd), map[string]string{"a": "1"}},
		"own":        {list.at("manifest", arm), map[string]string{"a": "2"}},
		"index":      {list.ofIndex().Index, map[string]string{"b": "x=y"}},
		"entry":      {list.ofIndex().Descriptor, map[string]string{"b": "x=y"}},
		"descriptor": {list.at("manifest-descriptor", arm), map[string]string{"c": ""}},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if err := list.check(planFor(t, "linux/amd64"), false); err == nil {
		t.Error("an index is annotated where there is none")
	}
}

func FuzzParseAnnotations(f *testing.F) {
	f.Add("manifest[linux/arm64],index:a.b=c")
	f.Fuzz(func(t *testing.T, item string) {
		list, err := parseAnnotations([]string{item})
		if err == nil && len(list) == 0 {
			t.Errorf("%q says nothing", item)
		}
	})
}

func FuzzParseCaches(f *testing.F) {
	f.Add("type=registry,ref=a/b:c,mode=max")
	f.Add("a/b,c")
	f.Fuzz(func(t *testing.T, value string) {
		specs, err := parseCaches("--cache-to", []string{value})
		if err != nil {
			if !isUsage(err) {
				t.Errorf("%v is no usage error", err)
			}
			return
		}
		for _, spec := range specs {
			if e := spec.entry("linux-arm64"); e.Type == "registry" && e.Attrs["ref"] == "" {
				t.Errorf("%q has no reference", value)
			}
		}
	})
}
