package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/planner"
)

// dockerConfig makes a directory the one with docker's configuration, which docker's own
// package looks up once.
func dockerConfig(t *testing.T, dir string) {
	t.Helper()
	before := config.Dir()
	config.SetDir(dir)
	t.Cleanup(func() { config.SetDir(before) })
}

// parsed is what a command line means.
func parsed(t *testing.T, args ...string) (buildOptions, error) {
	t.Helper()
	var flags buildFlags
	set := pflag.NewFlagSet("build", pflag.ContinueOnError)
	flags.addPlanFlags(set)
	set.StringArrayVar(&flags.labels, "label", nil, "")
	flags.inputs.addFlags(set)
	set.StringVar(&flags.node, "node", "", "")
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	o := buildOptions{connection: connection{node: flags.node}}
	err := flags.values(&o)
	if err == nil {
		err = flags.inputs.options(&o)
	}
	return o, err
}

func TestCutPlatform(t *testing.T) {
	for item, want := range map[string][2]string{
		"linux/arm64:K=V":               {"linux/arm64", "K=V"},
		"linux/arm64/v8:K=V":            {"linux/arm64", "K=V"},
		"linux/arm/v7:STAGE":            {"linux/arm/v7", "STAGE"},
		"Linux/aarch64:K":               {"linux/arm64", "K"},
		"windows(10.0.20348.0)/amd64:K": {"windows(10.0.20348.0)/amd64", "K"},
		"K=V":                           {"", "K=V"},
		"K=linux/arm64:V":               {"", "K=linux/arm64:V"},
		"arm64:K=V":                     {"", "arm64:K=V"},
		"linux/arm46:K=V":               {"", "linux/arm46:K=V"},
		"example.com/a:b=V":             {"", "example.com/a:b=V"},
		"linux/amd64,linux/arm64:K=V":   {"", "linux/amd64,linux/arm64:K=V"},
		"":                              {"", ""},
	} {
		t.Run(item, func(t *testing.T) {
			platform, rest := cutPlatform(item)
			if got := [2]string{platform, rest}; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func FuzzCutPlatform(f *testing.F) {
	f.Add("linux/arm64:K=V")
	f.Add("example.com/a:b=V")
	f.Fuzz(func(t *testing.T, item string) {
		platform, rest := cutPlatform(item)
		if platform == "" {
			if rest != item {
				t.Errorf("%q became %q", item, rest)
			}
			return
		}
		if _, err := planner.ParsePlatforms(platform); err != nil || !strings.HasSuffix(item, ":"+rest) {
			t.Errorf("%q became %q and %q: %v", item, platform, rest, err)
		}
	})
}

func TestInputAttrs(t *testing.T) {
	o, err := parsed(t, "--add-host", "a:192.0.2.1,b=[2001:db8::1]", "--add-host", "c:2001:db8::2", "--network", "host", "--shm-size", "64m",
		"--ulimit", "nproc=10", "--ulimit", "nofile=1024:4096", "--ulimit", "nproc=20", "--allow", "network.host", "--allow", "security.insecure",
		"--no-cache-filter", "one", "--no-cache-filter", "two,three", "--node", "tcp://x", "--cgroup-parent", "/builds",
		"--resource", "memory=2g", "--resource", "memory-swap=-1", "--resource", "cpu-quota=5", "--resource", "cpuset-cpus=0-3")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"add-hosts": "a=192.0.2.1,b=2001:db8::1,c=2001:db8::2", "force-network-mode": "host", "shm-size": "67108864",
		"ulimit": "nofile=1024:4096,nproc=20:20", "cgroup-parent": "/builds",
	}
	if diff := cmp.Diff(want, o.inputs.attrs); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	want = map[string]string{"no-cache": "one,two,three", "memory": "2147483648", "memswap": "-1", "cpuquota": "5", "cpusetcpus": "0-3"}
	if diff := cmp.Diff(want, o.inputs.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"network.host", "security.insecure"}, o.inputs.entitlements); diff != "" {
		t.Errorf("entitlements (-want +got):\n%s", diff)
	}
}

// Where arguments come from, the first that has one: --build-arg, the last file, the
// earlier ones, the environment, docker's proxies.
func TestArguments(t *testing.T) {
	dir := t.TempDir()
	dockerConfig(t, dir)
	t.Setenv("SOURCE_DATE_EPOCH", "7")
	t.Setenv("IT_GIVEN", "environment")
	for name, text := range map[string]string{
		"config.json": `{"proxies": {"default": {"httpProxy": "http://p", "noProxy": "n", "allProxy": "all"}, "tcp://x": {"ftpProxy": "ftp://p"}}}`,
		"one":         "A=one\nB=one\n#C=comment\n\n IT_GIVEN \nIT_NOT_GIVEN\n",
		"two":         "B=two\nD=x=y\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{
		"--build-arg-file", filepath.Join(dir, "one"), "--build-arg-file", filepath.Join(dir, "two"), "--build-arg", "A=flag", "--build-arg", "no_proxy=own",
		"--build-arg", "linux/arm64:B=arm", "--target", "first", "--target", "linux/arm/v7:v7", "--target", "last", "--label", "linux/arm64:l=arm", "--label", "l",
	}
	o, err := parsed(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"A": "flag", "B": "two", "D": "x=y", "IT_GIVEN": "environment", "no_proxy": "own", "SOURCE_DATE_EPOCH": "7", "HTTP_PROXY": "http://p",
	}
	if diff := cmp.Diff(want, o.args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	overrides := map[string]planner.Override{"linux/arm64": {Args: map[string]string{"B": "arm"}}, "linux/arm/v7": {Target: "v7"}}
	if diff := cmp.Diff(overrides, o.inputs.overrides); diff != "" || o.target != "last" {
		t.Errorf("target %q, overrides (-want +got):\n%s", o.target, diff)
	}
	if diff := cmp.Diff(map[string]string{"l": ""}, o.labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if o, err = parsed(t, "--node", "tcp://x"); err != nil || o.args["FTP_PROXY"] != "ftp://p" || o.args["HTTP_PROXY"] != "" {
		t.Errorf("arguments %v (%v)", o.args, err)
	}
}

func TestWrongInputs(t *testing.T) {
	for name, want := range map[string]string{
		"--secret src=x":                  `"src=…" has no id`,
		"--secret id=x,src=/nothere":      "nothere",
		"--secret id=x,type=word":         "unsupported secret type",
		"--ssh x=/nothere":                "nothere",
		"--build-arg-file /nothere":       "cannot be read",
		"--ulimit nofile=x":               "NAME=SOFT[:HARD]",
		"--node x --resource memory=x":    "no size",
		"--node x --resource cpu-quota=0": "no number above zero",
		"--node x --resource gpu=1":       "cpuset-cpus",
		"--add-host a:b":                  "no IP address",
		"--call check,check":              "METHOD",
		"--call check,format=xml":         "METHOD",
		"--call x":                        "check, outline or targets",
		"--build-arg linux/arm64:=x":      "NAME=VALUE",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parsed(t, strings.Fields(name)...)
			if err == nil || !strings.Contains(err.Error(), want) || !isUsage(err) {
				t.Errorf("error %v, want a usage error with %q", err, want)
			}
		})
	}
}
