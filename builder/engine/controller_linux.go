package engine

import (
	"context"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	ctdsnapshot "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/moby/buildkit/cache/remotecache"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	sessionauth "github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/disk"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/util/resolver/limited"
	"github.com/moby/buildkit/util/stack"
	"github.com/moby/buildkit/util/tracing/detect"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	"github.com/sirupsen/logrus"
	fscopy "github.com/tonistiigi/fsutil/copy"
	bolt "go.etcd.io/bbolt"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"golang.org/x/sync/semaphore"

	"github.com/mabuild/mabuild/builder/engine/internal/foreign"
	"github.com/mabuild/mabuild/builder/engine/internal/ghacache"
	"github.com/mabuild/mabuild/builder/engine/internal/uploads"
)

// configureProcess makes the process-wide settings that buildkitd's main makes.
func configureProcess(cfg Config) error {
	// BuildKit creates files with the modes it wants; fsutil skips its chmods then.
	syscall.Umask(0)
	fscopy.UmaskIsZero = true
	apicaps.ExportedProduct = "buildkit"
	if info, ok := debug.ReadBuildInfo(); ok { // version.Version is meant to be set at link time
		for _, dep := range info.Deps {
			if dep.Path == version.Package {
				version.Version = dep.Version
			}
		}
	}
	stack.SetVersionInfo(version.Version, version.Revision)
	// The controller stores this in an interface without asking whether it is nil.
	detect.Recorder = detect.NewTraceRecorder()

	level := cfg.Log.Level
	if level == "" && cfg.Debug { //nolint:staticcheck // deprecated, still valid in a buildkitd.toml
		level = "debug"
	}
	if level == "" && cfg.Trace { //nolint:staticcheck // as above
		level = "trace"
	}
	if level != "" {
		parsed, err := logrus.ParseLevel(level)
		if err != nil {
			return &Error{Op: "reading log.level", Err: err, Hint: "Use error, warn, info, debug or trace."}
		}
		logrus.SetLevel(parsed)
	}
	if cfg.Log.Format == "json" {
		logrus.SetFormatter(&logrus.JSONFormatter{})
	}
	if system := cfg.System; system != nil {
		if age := system.PlatformsCacheMaxAge; age != nil {
			archutil.CacheMaxAge = age.Duration
		}
		if n := system.MaxRegistryConcurrency; n != nil {
			limited.SetMaxConcurrency(int64(*n))
		}
		if timeout := system.SessionAuthTimeout; timeout != nil {
			sessionauth.SessionAuthTimeout = timeout.Duration
		}
	}
	return nil
}

// newController composes what cmd/buildkitd composes, less what a private engine
// on a unix socket does not need. It completes info.
func newController(ctx context.Context, state State, cfg Config, info *Info) (*control.Controller, error) {
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	hosts := new(uploads.Uploads).Hosts(resolver.NewRegistryConfig(cfg.Registries))
	w, err := newWorker(ctx, state, cfg, hosts, info)
	if err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(state.Root(), "cache.db"))
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	runner, err := newForeignWorker(ctx, w, state, info.Emulation, cache)
	if err != nil {
		return nil, err
	}
	if err := workers.Add(runner); err != nil {
		return nil, err
	}
	gatewayFrontend, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	history, err := boltutil.SafeOpen(filepath.Join(state.Root(), "history.db"), 0o600,
		&bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	return control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": foreign.Describe(forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build)),
			"gateway.v0":    foreign.Describe(gatewayFrontend),
		},
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registrycache.ResolveCacheExporterFunc(sessions, hosts),
			"local":    localcache.ResolveCacheExporterFunc(sessions),
			"inline":   inlinecache.ResolveCacheExporterFunc(),
			"gha":      ghacache.ResolveExporter,
		},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registrycache.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts),
			"local":    localcache.ResolveCacheImporterFunc(sessions),
			"gha":      ghacache.ResolveImporter,
		},
		CacheManager: solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		// Steps have the network of the host anyway, so that asking for it is no more.
		Entitlements:   append(slices.Clone(cfg.Entitlements), string(entitlements.EntitlementNetworkHost)),
		TraceCollector: detect.Recorder,
		MeterProvider:  sdkmetric.NewMeterProvider(),
		HistoryDB:      history,
		HistoryConfig:  cfg.History,
		CacheStore:     cache,
		LeaseManager:   w.LeaseManager(),
		ContentStore:   w.ContentStore(),
		GarbageCollect: w.GarbageCollect,
		GracefulStop:   ctx.Done(),
	})
}

func newWorker(ctx context.Context, state State, cfg Config, hosts docker.RegistryHosts, info *Info) (*base.Worker, error) {
	worker := cfg.Workers.OCI
	configured := worker.Binary
	if configured == "" {
		configured = info.Settings.Runc
	}
	runtime, err := findRuntime(configured)
	if err != nil {
		return nil, err
	}
	info.Runtime = runtime
	if info.IDs == string(singleID) {
		if runtime, err = wrapRuntime(state, runtime); err != nil {
			return nil, err
		}
	}
	snapshots := snapshotter(state, worker.Snapshotter)
	processes := oci.ProcessSandbox
	if worker.NoProcessSandbox {
		processes = oci.NoProcessSandbox
	}
	var parallel *semaphore.Weighted
	if worker.MaxParallelism > 0 {
		parallel = semaphore.NewWeighted(int64(worker.MaxParallelism))
	}
	var dns *oci.DNSConfig
	if cfg.DNS != nil {
		dns = &oci.DNSConfig{Nameservers: cfg.DNS.Nameservers, Options: cfg.DNS.Options, SearchDomains: cfg.DNS.SearchDomains}
	}
	const rootless = true // in a user namespace containers cannot have cgroups or mount sysfs
	opt, err := runc.NewWorkerOpt(state.Root(), snapshots, rootless, processes, worker.Labels, nil,
		netproviders.Opt{Mode: "host"}, dns, runtime, "", false, parallel, "", "", nil)
	if err != nil {
		return nil, err
	}
	opt.GCPolicy = gcPolicy(worker.GCConfig, state.Root())
	opt.BuildkitVersion = client.BuildkitVersion{Package: version.Package, Version: version.Version, Revision: version.Revision}
	opt.RegistryHosts = hosts
	opt.Platforms = archutil.SupportedPlatforms(true)
	info.Snapshots, info.BuildKit = snapshots.Name, version.Version
	return base.NewWorker(ctx, opt)
}

func snapshotter(state State, configured string) runc.SnapshotterFactory {
	if configured != "native" {
		err := overlayutils.Supported(state.Root())
		if err == nil || configured == "overlayfs" {
			return runc.SnapshotterFactory{Name: "overlayfs", New: func(root string) (ctdsnapshot.Snapshotter, error) {
				return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
			}}
		}
		bklog.L.WithError(err).Warn("overlayfs is not usable here; copying files instead, which is slow")
	}
	return runc.SnapshotterFactory{Name: "native", New: native.NewSnapshotter}
}

func gcPolicy(cfg config.GCConfig, root string) []client.PruneInfo {
	if cfg.GC != nil && !*cfg.GC {
		return nil
	}
	stat, err := disk.GetDiskStat(root)
	if err != nil {
		bklog.L.WithError(err).Warn("reading the disk's size; cache limits are guesses")
	}
	rules := cfg.GCPolicy
	if len(rules) == 0 {
		rules = config.DefaultGCPolicy(cfg, stat)
	}
	policy := make([]client.PruneInfo, 0, len(rules))
	for _, rule := range rules {
		reserved := rule.ReservedSpace
		if reserved == (config.DiskSpace{}) {
			reserved = rule.KeepBytes //nolint:staticcheck // its name before v0.17
		}
		policy = append(policy, client.PruneInfo{
			Filter:        rule.Filters,
			All:           rule.All,
			KeepDuration:  rule.KeepDuration.Duration,
			ReservedSpace: reserved.AsBytes(stat),
			MaxUsedSpace:  rule.MaxUsedSpace.AsBytes(stat),
			MinFreeSpace:  rule.MinFreeSpace.AsBytes(stat),
		})
	}
	return policy
}
