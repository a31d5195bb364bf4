package engine_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mabuild/mabuild/builder/engine"
)

func TestNamespaceHint(t *testing.T) {
	tests := []struct {
		name     string
		err      error
		settings map[string]string
		want     string
	}{
		{"switched off", syscall.ENOSPC, map[string]string{"user.max_user_namespaces": "0"}, "sysctl user.max_user_namespaces=10000"},
		{"used up", syscall.ENOSPC, nil, "limit of user namespaces"},
		{"Debian 10", syscall.EPERM, map[string]string{"kernel.unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"},
		{"Ubuntu 24.04", syscall.EACCES, map[string]string{"kernel.apparmor_restrict_unprivileged_userns": "1"}, "AppArmor"},
		{"container", syscall.EPERM, nil, "--privileged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := engine.NamespaceHint(test.err, func(name string) string { return test.settings[name] })
			if !strings.Contains(got, test.want) || !strings.Contains(got, "--node") {
				t.Errorf("got %q, want %q and --node in it", got, test.want)
			}
		})
	}
	if got := engine.NamespaceHint(syscall.ENOMEM, func(string) string { return "" }); got != "" {
		t.Errorf("an error of another kind is explained: %q", got)
	}
}

func TestReleaseAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.7.0": true, "6.18.44-custom": true, "7.0-rc1": true, "6.6.30": false, "5.15.0-91-generic": false, "6": false, "": false,
	} {
		if got := engine.ReleaseAtLeast(release, 6, 7); got != want {
			t.Errorf("%q: got %t, want %t", release, got, want)
		}
	}
}

func TestDropTerminalGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	before := `{"ociVersion":"1.2.0","unknown":{"a":1},"mounts":[{"destination":"/dev/pts","type":"devpts","options":["nosuid","gid=5","mode=0620"]},{"destination":"/x"}]}`
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := engine.DropTerminalGroup(path); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(after), "gid=5") || !strings.Contains(string(after), `"nosuid","mode=0620"`) || !strings.Contains(string(after), `"unknown":{"a":1}`) {
		t.Errorf("got %s, %v", after, err)
	}
	if !json.Valid(after) {
		t.Errorf("not JSON: %s", after)
	}
}
