package testbed_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/mabuild/mabuild/integration/testbed"
)

func ExampleEngineConfig() {
	fmt.Print(testbed.EngineConfig("127.0.0.1:40001", "127.0.0.1:40002"))
	// Output:
	// [registry."docker.io"]
	//   mirrors = ["127.0.0.1:40001"]
	// [registry."127.0.0.1:40001"]
	//   http = true
	// [registry."127.0.0.1:40002"]
	//   http = true
}

// BuildKit must read what is written for it.
func TestEngineConfig(t *testing.T) {
	got, err := config.Load(strings.NewReader(testbed.EngineConfig("127.0.0.1:1", "127.0.0.1:2")))
	if err != nil {
		t.Fatal(err)
	}
	plain := true
	want := map[string]resolverconfig.RegistryConfig{
		"docker.io":   {Mirrors: []string{"127.0.0.1:1"}},
		"127.0.0.1:1": {PlainHTTP: &plain},
		"127.0.0.1:2": {PlainHTTP: &plain},
	}
	if diff := cmp.Diff(want, got.Registries); diff != "" {
		t.Errorf("the registries differ (-want +got):\n%s", diff)
	}
}
