package testbed

import (
	"fmt"
	"strings"
)

// EngineConfig returns a configuration (buildkitd.toml) for an engine that finds
// the images of docker.io at mirror and talks plain HTTP to mirror and to
// registries, all given as host:port.
func EngineConfig(mirror string, registries ...string) string {
	var config strings.Builder
	fmt.Fprintf(&config, "[registry.\"docker.io\"]\n  mirrors = [%q]\n", mirror)
	for _, addr := range append([]string{mirror}, registries...) {
		fmt.Fprintf(&config, "[registry.%q]\n  http = true\n", addr)
	}
	return config.String()
}
