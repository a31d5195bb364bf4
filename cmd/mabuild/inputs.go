package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/go-units"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/entitlements"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/planner"
)

// inputFlags are what steps get from here beside the build context, as written.
type inputFlags struct {
	targets      []string
	argFiles     []string
	addHosts     []string
	network      string
	shmSize      string
	ulimits      []string
	cgroupParent string
	resources    []string
	secrets      []string
	ssh          []string
	allow        []string
	noCache      []string
	gitLabels    bool
	cacheFrom    []string
	cacheTo      []string
	attest       attestFlags
	annotations  []string
	call         callFlags
}

// addPlanFlags adds the flags that decide what operations there are.
func (f *inputFlags) addPlanFlags(set *pflag.FlagSet) {
	set.StringArrayVar(&f.targets, "target", nil, "`[PLATFORM:]STAGE` to build (default: the last)")
	set.StringArrayVar(&f.argFiles, "build-arg-file", nil, "read build arguments from this `FILE`, one NAME=VALUE per line; --build-arg goes before it")
	set.StringSliceVar(&f.addHosts, "add-host", nil, "`HOST:IP` that steps know")
	set.StringVar(&f.network, "network", "default", "`NETWORK` of the steps: default, none or host")
	set.StringVar(&f.shmSize, "shm-size", "", "`SIZE` of /dev/shm in the steps, as in 64m")
	set.StringArrayVar(&f.ulimits, "ulimit", nil, "`LIMIT` of the steps, as in nofile=1024:4096")
	set.StringVar(&f.cgroupParent, "cgroup-parent", "", "parent `CGROUP` of the steps, on a daemon of --node")
}

// addStepFlags adds the flags of what steps can use, without an effect on what they
// are.
func (f *inputFlags) addStepFlags(set *pflag.FlagSet) {
	set.StringArrayVar(&f.secrets, "secret", nil, "secret for RUN --mount=type=secret: `SPEC` is id=ID[,src=FILE|,env=NAME]")
	set.StringArrayVar(&f.ssh, "ssh", nil, "agent or keys for RUN --mount=type=ssh: `SPEC` is default|ID[=SOCKET|KEY[,KEY]]")
	set.StringArrayVar(&f.allow, "allow", nil, "`ENTITLEMENT` that steps may use: network.host, security.insecure or device[=NAME]")
	set.StringArrayVar(&f.resources, "resource", nil, "limit each step, on a daemon of --node: `LIMIT` is memory=2g, cpu-quota=50000, cpuset-cpus=0-3, …")
}

// addFlags adds the flags of what a build uses and a plan does not.
func (f *inputFlags) addFlags(set *pflag.FlagSet) {
	f.addStepFlags(set)
	set.StringArrayVar(&f.noCache, "no-cache-filter", nil, "run the steps of this `STAGE` again")
	set.BoolVar(&f.gitLabels, "git-labels", gitLabelsDefault(), "label the images with the commit, the remote and the Dockerfile's path in the repository")
	set.StringArrayVar(&f.cacheFrom, "cache-from", nil, "import cache: `SPEC` is REF or type=registry|local|gha|s3|azblob,…; every platform's is looked for")
	set.StringArrayVar(&f.cacheTo, "cache-to", nil, "export cache: `SPEC` as above, or type=inline; each platform has its own, REF-linux-arm64, unless platform-split=false")
	f.attest.addFlags(set)
	set.StringArrayVar(&f.annotations, "annotation", nil, "annotate the images: `SPEC` is [TYPE[[PLATFORM]][,TYPE…]:]NAME=VALUE; TYPE is manifest, index, manifest-descriptor or index-descriptor")
	f.call.addFlags(set)
}

// inputs are the checked flags.
type inputs struct {
	overrides    map[string]planner.Override
	labels       map[string]map[string]string // by platform
	attrs        map[string]string            // of the frontend, which operations depend on
	requests     map[string]string            // of the frontend, which they do not depend on
	session      []session.Attachable
	secrets      []string // as given
	secretIDs    []string
	sshIDs       []string
	entitlements []string
	gitLabels    bool
	cacheFrom    []cacheSpec
	cacheTo      []cacheSpec
	annotations  annotations
	attested     bool
	call         *call // nil is building
}

// options checks the flags. The build arguments in o are completed.
func (f *inputFlags) options(o *buildOptions) (err error) {
	in := &o.inputs
	in.attrs, in.requests = make(map[string]string), make(map[string]string)
	for _, check := range []func(*buildOptions) error{f.environment, f.sandbox, f.limits, f.credentials, f.caches} {
		if err := check(o); err != nil {
			return err
		}
	}
	if len(f.noCache) > 0 {
		in.requests["no-cache"] = strings.Join(f.noCache, ",")
	}
	if in.annotations, err = parseAnnotations(f.annotations); err != nil {
		return err
	}
	attests, err := f.attest.attrs()
	if err != nil {
		return err
	}
	in.attested = len(attests) > 0
	maps.Copy(in.requests, attests)
	in.gitLabels = f.gitLabels
	in.call, err = f.call.parse()
	return err
}

// environment completes the build arguments: files, SOURCE_DATE_EPOCH, and the
// proxies of the docker configuration.
func (f *inputFlags) environment(o *buildOptions) error {
	for _, name := range slices.Backward(f.argFiles) { // the last file wins
		values, err := readArgFile(name)
		if err != nil {
			return err
		}
		addMissing(o.args, values)
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		addMissing(o.args, map[string]string{"SOURCE_DATE_EPOCH": epoch})
	}
	docker, err := config.Load(config.Dir())
	if err != nil {
		return fmt.Errorf("reading the docker configuration in %s: %w", config.Dir(), err)
	}
	proxies, ok := docker.Proxies[o.node]
	if !ok {
		proxies = docker.Proxies["default"]
	}
	for name, value := range map[string]string{
		"HTTP_PROXY": proxies.HTTPProxy, "HTTPS_PROXY": proxies.HTTPSProxy, "FTP_PROXY": proxies.FTPProxy,
		"NO_PROXY": proxies.NoProxy,
	} {
		given := func(arg string) bool { return strings.EqualFold(arg, name) }
		if value != "" && !slices.ContainsFunc(slices.Collect(maps.Keys(o.args)), given) {
			o.args[name] = value
		}
	}
	return nil
}

func addMissing(values, defaults map[string]string) {
	for name, value := range defaults {
		if _, given := values[name]; !given {
			values[name] = value
		}
	}
}

// readArgFile reads NAME=VALUE lines, as buildah does: blank lines and comments are
// left out, and NAME alone is taken from the environment.
func readArgFile(name string) (map[string]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usagef("--build-arg-file %q cannot be read: %w", name, errors.Unwrap(err))
	}
	defer file.Close()
	var items []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			items = append(items, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, usagef("--build-arg-file %q cannot be read: %w", name, err)
	}
	return pairs("--build-arg-file "+name, items, os.LookupEnv)
}

// sandbox reads what the steps run in.
func (f *inputFlags) sandbox(o *buildOptions) error {
	in := &o.inputs
	switch f.network {
	case "", "default":
	case "host":
		in.entitlements = append(in.entitlements, string(entitlements.EntitlementNetworkHost))
		in.attrs["force-network-mode"] = f.network
	case "none":
		in.attrs["force-network-mode"] = f.network
	default:
		return usagef("--network=%s is unknown to BuildKit; use default, none or host", f.network)
	}
	hosts, err := parseHosts(f.addHosts)
	if err != nil {
		return err
	}
	if hosts != "" {
		in.attrs["add-hosts"] = hosts
	}
	for _, allowed := range f.allow {
		if _, _, err := entitlements.Parse(allowed); err != nil {
			return usagef("--allow=%s is not known here; use network.host, security.insecure or device[=NAME]", allowed)
		}
		if !slices.Contains(in.entitlements, allowed) {
			in.entitlements = append(in.entitlements, allowed)
		}
	}
	if f.cgroupParent != "" {
		if o.node == "" {
			return usagef("the built-in engine has no cgroups, so --cgroup-parent has no effect there; use a BuildKit daemon of your own with --node")
		}
		in.attrs["cgroup-parent"] = f.cgroupParent
	}
	return nil
}

// parseHosts reads HOST:IP and HOST=IP[,IP], with IPv6 in brackets or bare.
func parseHosts(items []string) (string, error) {
	var hosts []string
	for _, item := range items {
		host, addresses, ok := strings.Cut(item, "=")
		if !ok {
			host, addresses, ok = strings.Cut(item, ":")
		}
		if !ok || host == "" || addresses == "" {
			return "", usagef("--add-host %q is not HOST:IP", item)
		}
		for address := range strings.SplitSeq(addresses, ",") {
			if inner, ok := strings.CutPrefix(address, "["); ok && strings.HasSuffix(inner, "]") {
				address = strings.TrimSuffix(inner, "]")
			}
			if address == "host-gateway" {
				return "", usagef("--add-host %s: BuildKit does not know the address of its host; write it out", item)
			}
			if net.ParseIP(address) == nil {
				return "", usagef("--add-host %q has no IP address; write HOST:IP", item)
			}
			hosts = append(hosts, host+"="+address)
		}
	}
	return strings.Join(hosts, ","), nil
}

// limits reads how much the steps may use.
func (f *inputFlags) limits(o *buildOptions) error {
	in := &o.inputs
	if f.shmSize != "" {
		size, err := units.RAMInBytes(f.shmSize)
		if err != nil || size < 0 {
			return usagef("--shm-size=%s is no size; write 64m or 1g", f.shmSize)
		}
		in.attrs["shm-size"] = strconv.FormatInt(size, 10)
	}
	limits := make(map[string]string)
	for _, value := range f.ulimits {
		limit, err := units.ParseUlimit(value)
		if err != nil {
			return usagef("--ulimit %q: %w; write NAME=SOFT[:HARD], as in nofile=1024:4096", value, err)
		}
		limits[limit.Name] = limit.String()
	}
	if len(limits) > 0 {
		in.attrs["ulimit"] = strings.Join(slices.Sorted(maps.Values(limits)), ",")
	}
	if len(f.resources) > 0 && o.node == "" {
		return usagef("the built-in engine has no cgroups, so --resource has no effect there; use a BuildKit daemon of your own with --node")
	}
	for _, value := range f.resources {
		if err := in.addResource(value); err != nil {
			return usagef("--resource %q: %w", value, err)
		}
	}
	return nil
}

// resourceAttrs are BuildKit's names for buildx's.
var resourceAttrs = map[string]string{
	"memory": "memory", "memory-swap": "memswap", "cpu-shares": "cpushares", "cpu-period": "cpuperiod", "cpu-quota": "cpuquota",
	"cpuset-cpus": "cpusetcpus", "cpuset-mems": "cpusetmems",
}

func (in *inputs) addResource(item string) error {
	name, value, _ := strings.Cut(item, "=")
	attr, ok := resourceAttrs[strings.TrimSpace(name)]
	if value = strings.TrimSpace(value); !ok || value == "" {
		return fmt.Errorf("write NAME=VALUE, NAME one of %s", strings.Join(slices.Sorted(maps.Keys(resourceAttrs)), ", "))
	}
	switch {
	case attr == "memory" || attr == "memswap" && value != "-1":
		size, err := units.RAMInBytes(value)
		if err != nil || size <= 0 {
			return errors.New("it is no size; write 512m or 2g")
		}
		value = strconv.FormatInt(size, 10)
	case strings.HasPrefix(name, "cpu-"):
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n <= 0 {
			return errors.New("it is no number above zero")
		}
	}
	in.requests[attr] = value
	return nil
}

// prepare looks for what jobs get from elsewhere, and completes how they deliver.
func (o *buildOptions) prepare(ctx context.Context, plan *planner.Plan, d *delivery) (buildkit.Inputs, error) {
	in := &o.inputs
	if err := in.annotations.check(plan, in.attested); err != nil {
		return buildkit.Inputs{}, err
	}
	in.annotations.apply(d)
	if err := errors.Join(o.addGit(ctx), o.addAgent()); err != nil {
		return buildkit.Inputs{}, err
	}
	var platforms []ocispec.Platform
	for _, job := range plan.Jobs {
		platforms = append(platforms, job.Platform)
	}
	for _, name := range append(notBuilt(in.overrides, platforms), notBuilt(in.labels, platforms)...) {
		logger().WarnContext(ctx, "values for a platform that is not built are not used", "platform", name)
	}
	registry, err := o.registryClient()
	if err != nil {
		return buildkit.Inputs{}, err
	}
	caches := in.openCaches(ctx, plan, registry)
	return o.forJobs(caches, d), nil
}

// forJobs is what jobs get. What belongs to the delivery is added by it.
func (o *buildOptions) forJobs(caches *caches, d *delivery) buildkit.Inputs {
	in := buildkit.Inputs{
		Attrs: o.jobAttrs, Session: o.inputs.session, Entitlements: o.inputs.entitlements,
		CacheFrom: caches.from, CacheTo: caches.to,
	}
	if d != nil && d.content != nil {
		in.Children = children(d.content)
	}
	return in
}

// jobAttrs are the frontend's attributes for one job.
func (in *inputs) jobAttrs(job planner.Job) map[string]string {
	attrs := maps.Clone(in.attrs)
	maps.Copy(attrs, in.requests)
	for name, value := range in.labels[key(job.Platform)] {
		attrs["label:"+name] = value
	}
	return attrs
}
