package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/engine"
)

func TestParseConfig(t *testing.T) {
	cfg, err := engine.ParseConfig([]byte(`
debug = true
insecure-entitlements = ["network.host"]
[worker.oci]
  max-parallelism = 3
  gc = false
  snapshotter = "native"
[registry."docker.io"]
  mirrors = ["mirror.example:5000"]
[registry."mirror.example:5000"]
  http = true
  ca = ["/etc/ca.pem"]
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Registries["docker.io"].Mirrors; len(got) != 1 || got[0] != "mirror.example:5000" {
		t.Errorf("mirrors = %q", got)
	}
	if cfg.Workers.OCI.MaxParallelism != 3 {
		t.Errorf("max-parallelism = %d, want 3", cfg.Workers.OCI.MaxParallelism)
	}
}

func TestParseConfigErrors(t *testing.T) {
	tests := map[string]string{
		"[worker.oci]\nnonsense = 1":                        `line 2: unknown key "worker.oci.nonsense"`,
		"[registry.\"a\"]\nhttp = true\nmirror = [\"b\"]":   `line 3: unknown key "registry.a.mirror"`,
		"root = \"/x\"":                                     `key "root" is not supported by the built-in engine`,
		"[grpc]\naddress = [\"tcp://0.0.0.0:1234\"]":        `key "grpc" is not supported`,
		"[worker.containerd]\nnamespace = \"x\"":            `key "worker.containerd" is not supported`,
		"[worker.oci]\nnetworkMode = \"cni\"":               `key "worker.oci.networkMode" is not supported`,
		"[worker.oci]\nsnapshotter = \"stargz\"":            "use auto, overlayfs or native",
		"[system]\nmaxRegistryConcurrency = 0":              "must be greater than zero",
		"[worker.oci":                                       "line 1",
		"[worker.oci]\nmax-parallelism = \"three\"":         "line 2",
		"[worker.oci]\nreservedSpace = \"very much\"":       "very much",
		"root = \"/x\"\n[otel]\nsocketPath = \"/y\"\nx = 1": `line 4: unknown key "otel.x"`,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			_, err := engine.ParseConfig([]byte(text))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("[worker.oci]\nmax-parallelism = 3\n"))
	f.Add([]byte("[registry.\"docker.io\"]\nmirrors = [\"x\"]"))
	f.Add([]byte("[[worker.oci.gcpolicy]]\nkeepBytes = \"10%\""))
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = engine.ParseConfig(text) // must not panic
	})
}

func TestDefaultState(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MABUILD_STATE_DIR", dir)
	state, err := engine.DefaultState()
	if err != nil || string(state) != dir {
		t.Errorf("with MABUILD_STATE_DIR: got %q, %v; want %q", state, err, dir)
	}
	t.Setenv("MABUILD_STATE_DIR", "")
	t.Setenv("XDG_STATE_HOME", dir)
	want := filepath.Join(dir, "mabuild")
	if os.Geteuid() == 0 {
		want = "/var/lib/mabuild"
	}
	if state, err = engine.DefaultState(); err != nil || string(state) != want {
		t.Errorf("got %q, %v; want %q", state, err, want)
	}
}
