package buildkit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
)

func TestStartRequest(t *testing.T) {
	image := ocispec.ImageConfig{
		Entrypoint: []string{"/entry", "-v"}, Cmd: []string{"serve"}, User: "bob", WorkingDir: "/srv",
		Env: []string{"PATH=/bin", "A=1", "AB=2"},
	}
	for name, test := range map[string]struct {
		opts  buildkit.ContainerOptions
		image ocispec.ImageConfig
		args  string
		env   string
		user  string
		dir   string
		err   string
	}{
		"the image's":      {image: image, args: "/entry -v serve", env: "PATH=/bin A=1 AB=2", user: "bob", dir: "/srv"},
		"command":          {image: image, opts: buildkit.ContainerOptions{Command: []string{"a", "b"}}, args: "/entry -v a b", env: "PATH=/bin A=1 AB=2", user: "bob", dir: "/srv"},
		"entrypoint":       {image: image, opts: buildkit.ContainerOptions{Entrypoint: []string{"sh"}}, args: "sh", env: "PATH=/bin A=1 AB=2", user: "bob", dir: "/srv"},
		"no entrypoint":    {image: image, opts: buildkit.ContainerOptions{Entrypoint: []string{}, Command: []string{"ls"}}, args: "ls", env: "PATH=/bin A=1 AB=2", user: "bob", dir: "/srv"},
		"variables":        {image: image, opts: buildkit.ContainerOptions{Env: []string{"A=x=y", "C=", "C=3"}}, args: "/entry -v serve", env: "PATH=/bin A=x=y AB=2 C=3", user: "bob", dir: "/srv"},
		"user, directory":  {image: image, opts: buildkit.ContainerOptions{User: "0:0", Dir: "/"}, args: "/entry -v serve", env: "PATH=/bin A=1 AB=2", user: "0:0", dir: "/"},
		"an empty image":   {opts: buildkit.ContainerOptions{Command: []string{"ls"}}, args: "ls", dir: "/"},
		"nothing to start": {opts: buildkit.ContainerOptions{Image: "x"}, err: "x says no command and none was given"},
		"relative":         {image: image, opts: buildkit.ContainerOptions{Dir: "srv"}, err: "not an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			start, err := test.opts.StartRequest(test.image)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := []string{strings.Join(start.Args, " "), strings.Join(start.Env, " "), start.User, start.Cwd}
			if diff := cmp.Diff([]string{test.args, test.env, test.user, test.dir}, got); diff != "" {
				t.Error(diff)
			}
			if start.Stdin != nil {
				t.Error("without Stdin the program has one")
			}
		})
	}
	if strings.Join(image.Env, " ") != "PATH=/bin A=1 AB=2" {
		t.Errorf("the image's variables were changed: %q", image.Env)
	}
}

// TestStartFailure tells programs that could not be started from those that fail.
func TestStartFailure(t *testing.T) {
	const runc = "runc run failed: unable to start container process: "
	for name, test := range map[string]struct {
		code   int
		chunks []string
		want   int
		err    string
		stderr string
	}{
		"not there":       {1, []string{runc + `exec: "x": executable file not found in $PATH` + "\n"}, 127, `starting the program: exec: "x": executable file not found in $PATH`, ""},
		"no such path":    {1, []string{runc + `exec: "/x": stat /x: no such file or directory` + "\n"}, 127, "/x", ""},
		"not allowed":     {1, []string{runc + `exec: "/x": permission denied` + "\r\n"}, 126, "permission denied", ""},
		"not executable":  {255, []string{"exec /x: exec format error\n"}, 126, "not made for", ""},
		"no interpreter":  {1, []string{"exec /x: no such file or directory\n"}, 127, "exec /x: no such file", ""},
		"a failure":       {1, []string{"sh: x: not found\n"}, 1, "", "sh: x: not found\n"},
		"it goes on":      {1, []string{"exec /x: exec format error\n", "but\n"}, 1, "", "exec /x: exec format error\nbut\n"},
		"later":           {1, []string{"first\n", "exec /x: exec format error\n"}, 1, "", "first\nexec /x: exec format error\n"},
		"in two pieces":   {1, []string{"exec /x: exec format", " error\n"}, 1, "", "exec /x: exec format error\n"},
		"more than that":  {1, []string{runc + "x\nmore\n"}, 1, "", runc + "x\nmore\n"},
		"nothing written": {42, nil, 42, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			code, err := buildkit.EndOf(test.code, &stderr, test.chunks...)
			if code != test.want || stderr.String() != test.stderr || (err == nil) != (test.err == "") {
				t.Errorf("got %d, %v, %q; want %d, %q, %q", code, err, stderr.String(), test.want, test.err, test.stderr)
			}
			if err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q is not in %v", test.err, err)
			}
		})
	}
}

// TestRunRefused: what can be seen before the daemon is asked for anything.
func TestRunRefused(t *testing.T) {
	node, _ := dial(t, buildkittest.Options{Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	amd64 := ocispec.Platform{OS: "linux", Architecture: "amd64"}
	for name, test := range map[string]struct {
		opts buildkit.ContainerOptions
		err  string
	}{
		"platform":     {buildkit.ContainerOptions{Platform: ocispec.Platform{OS: "linux", Architecture: "sparc64"}}, "programs of linux/sparc64 can be neither run nor emulated"},
		"network":      {buildkit.ContainerOptions{Platform: amd64, Network: "bridge"}, `the network "bridge" is unknown`},
		"target":       {buildkit.ContainerOptions{Platform: amd64, Mounts: []buildkit.ContainerMount{{Source: file, Target: "x"}}}, "absolute"},
		"root":         {buildkit.ContainerOptions{Platform: amd64, Mounts: []buildkit.ContainerMount{{Source: file, Target: "/."}}}, "below /"},
		"no source":    {buildkit.ContainerOptions{Platform: amd64, Mounts: []buildkit.ContainerMount{{Source: file + "x", Target: "/x"}}}, "no such file"},
		"not a source": {buildkit.ContainerOptions{Platform: amd64, Mounts: []buildkit.ContainerMount{{Source: os.DevNull, Target: "/x"}}}, "neither a directory nor a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			code, err := node.Run(t.Context(), test.opts)
			if code != 0 || err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %d, %v; want %q", code, err, test.err)
			}
			var e *buildkit.Error
			if name == "platform" && (!errors.As(err, &e) || e.Kind != buildkit.EmulationMissing) {
				t.Errorf("got %#v, want EmulationMissing", err)
			}
		})
	}
}
