package toolbox_test

import (
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

func ExampleDetect() {
	base := fstest.MapFS{
		"etc/os-release":       {Data: []byte("ID=debian\nVERSION_CODENAME=trixie\n")},
		"var/lib/dpkg/status":  {Data: []byte("Package: dash\nVersion: 0.5.12-12\n")},
		"usr/local/go/VERSION": {Data: []byte("go1.26.8\ntime 2026-07-01T00:00:00Z\n")},
	}
	wanted, err := toolbox.Detect(base.ReadFile)
	fmt.Println(wanted.Suites, err)
	// Output: [trixie-base trixie go1.26.8] <nil>
}

func ExampleRecipe_Dockerfile() {
	text, err := toolbox.Recipe{Suite: "go1.26.8", Base: "golang:1.26", Platform: "linux/arm64", Host: "amd64"}.Dockerfile()
	first, _, _ := strings.Cut(text, "\n")
	fmt.Println(first, err)
	// Output: # The native tools of go1.26.8 for linux/arm64, made by mabuild. <nil>
}

func ExampleRuleFor() {
	for _, name := range []string{"sha256sum", "sort"} {
		rule, _ := toolbox.RuleFor("coreutils", name)
		fmt.Println(name, rule.Class)
	}
	// Output:
	// sha256sum proven
	// sort never
}
