package buildkit_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
)

// Named contexts are told to the frontend as it looks for them, and directories among
// them come from the source's session.
func TestNamedContexts(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	node, server := dial(t, buildkittest.Options{})
	source, err := node.Offer(t.Context(), buildkit.SourceOptions{
		Context: dir, Dockerfile: filepath.Join(dir, "Dockerfile"),
		NamedContexts: map[string]string{
			"docker.io/library/alpine:latest": "docker-image://busybox:1",
			"lib":                             dir,
			"tool::linux/aarch64":             "docker-image://tool",
			"z":                               filepath.Dir(dir),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	solver, err := buildkit.NewSolver(buildkit.Options{Node: node, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := solver.Solve(t.Context(), jobFor(t, "linux/amd64")); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, value := range server.Requests()[0].FrontendAttrs {
		if strings.HasPrefix(name, "context:") || strings.HasPrefix(name, "local-sessionid:") {
			got[name] = value
		}
	}
	id := source.SessionID()
	want := map[string]string{
		"context:alpine": "docker-image://busybox:1", "context:lib": "local:context1",
		"context:tool::linux/arm64": "docker-image://tool", "context:z": "local:context3",
		"local-sessionid:context": id, "local-sessionid:dockerfile": id, "local-sessionid:context1": id, "local-sessionid:context3": id,
	}
	if diff := cmp.Diff(want, got); diff != "" || id == "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func TestNamedContextsFail(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	node, _ := dial(t, buildkittest.Options{})
	for value, want := range map[string]string{
		filepath.Join(dir, "none"):       "opening the build context lib: ",
		filepath.Join(dir, "Dockerfile"): "is not a directory",
		"oci-layout://" + dir:            "index.json: no such file",
		"ftp://example.com/lib.tar":      "ftp:// is not supported",
	} {
		t.Run(value, func(t *testing.T) {
			_, err := node.Offer(t.Context(), buildkit.SourceOptions{
				Context: dir, Dockerfile: filepath.Join(dir, "Dockerfile"), NamedContexts: map[string]string{"lib": value},
			})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
		})
	}
}
