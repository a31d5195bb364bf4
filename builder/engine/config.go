package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/pelletier/go-toml/v2"
)

// Config is a buildkitd.toml, restricted to what the built-in engine honours:
// log, insecure-entitlements, registry, dns, history, system, and of
// worker.oci the keys snapshotter, labels, binary, gc and its limits, gcpolicy,
// noProcessSandbox and max-parallelism.
type Config = config.Config

// LoadConfig reads a buildkitd.toml. Keys that BuildKit does not know and keys
// that the built-in engine cannot honour are errors that name the key and its
// line ([ErrConfig]). An empty path is an empty configuration.
func LoadConfig(path string) (Config, error) {
	if path == "" {
		return Config{}, nil
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return Config{}, configError(path, err)
	}
	cfg, err := ParseConfig(body)
	if err != nil {
		return Config{}, configError(path, err)
	}
	return cfg, nil
}

func configError(path string, err error) error {
	return &Error{
		Op:   "loading the engine configuration " + path,
		Err:  errors.Join(ErrConfig, err),
		Hint: "The keys are those of buildkitd.toml: https://docs.docker.com/build/buildkit/toml-configuration/",
	}
}

// ParseConfig parses the text of a buildkitd.toml as [LoadConfig] does.
func ParseConfig(body []byte) (Config, error) {
	var cfg Config
	err := toml.NewDecoder(bytes.NewReader(body)).DisallowUnknownFields().Decode(&cfg)
	if strict := (*toml.StrictMissingError)(nil); errors.As(err, &strict) {
		var errs []error
		for _, missing := range strict.Errors {
			line, _ := missing.Position()
			errs = append(errs, fmt.Errorf("line %d: unknown key %q", line, strings.Join(missing.Key(), ".")))
		}
		return Config{}, errors.Join(errs...)
	}
	if wrong := (*toml.DecodeError)(nil); errors.As(err, &wrong) {
		line, column := wrong.Position()
		return Config{}, fmt.Errorf("line %d column %d: %s", line, column, strings.TrimPrefix(wrong.Error(), "toml: "))
	}
	if err != nil {
		return Config{}, err
	}
	return cfg, unsupportedKeys(cfg)
}

// unsupportedKeys names the keys that are set and that only a buildkitd honours.
func unsupportedKeys(cfg Config) error {
	oci := cfg.Workers.OCI
	set := []struct {
		key   string
		isSet bool
	}{
		{"root", cfg.Root != ""},
		{"proxyNetwork", cfg.ProxyNetwork},
		{"grpc", !isZero(cfg.GRPC)},
		{"otel", !isZero(cfg.OTEL)},
		{"cdi", !isZero(cfg.CDI)},
		{"worker.containerd", !isZero(cfg.Workers.Containerd)},
		{"worker.oci.enabled", oci.Enabled != nil && !*oci.Enabled},
		{"worker.oci.platforms", oci.Platforms != nil},
		{"worker.oci.networkMode", oci.Mode != "" && oci.Mode != "host" && oci.Mode != "auto"},
		{"worker.oci.cniConfigPath", oci.CNIConfigPath != "" || oci.CNIBinaryPath != "" || oci.CNIPoolSize != 0},
		{"worker.oci.proxySnapshotterPath", oci.ProxySnapshotterPath != ""},
		{"worker.oci.stargzSnapshotter", oci.StargzSnapshotterConfig != nil},
		{"worker.oci.defaultCgroupParent", oci.DefaultCgroupParent != ""},
		{"worker.oci.apparmor-profile", oci.ApparmorProfile != ""},
		{"worker.oci.selinux", oci.SELinux},
		{"frontend", !isZero(cfg.Frontends)},
		{"provenanceEnvDir", cfg.ProvenanceEnvDir != ""},
		{"cache", !isZero(cfg.Cache)},
		{"compaction", !isZero(cfg.Compaction)},
	}
	var errs []error
	for _, k := range set {
		if k.isSet {
			errs = append(errs, fmt.Errorf("key %q is not supported by the built-in engine; use a buildkitd of your own with --node for it", k.key))
		}
	}
	switch oci.Snapshotter {
	case "", "auto", "overlayfs", "native":
	default:
		errs = append(errs, fmt.Errorf("worker.oci.snapshotter %q is not built in; use auto, overlayfs or native", oci.Snapshotter))
	}
	if n := cfg.System; n != nil && n.MaxRegistryConcurrency != nil && *n.MaxRegistryConcurrency <= 0 {
		errs = append(errs, fmt.Errorf("system.maxRegistryConcurrency is %d; it must be greater than zero", *n.MaxRegistryConcurrency))
	}
	return errors.Join(errs...)
}

func isZero(v any) bool { return reflect.ValueOf(v).IsZero() }
