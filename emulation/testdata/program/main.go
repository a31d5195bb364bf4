// Command program tells how it sees the world that it runs in. The tests build
// it for a foreign architecture.
package main

import (
	"encoding/json"
	"os"
	"runtime"

	"github.com/mabuild/mabuild/emulation"
)

func main() {
	native := []string{}
	for _, p := range emulation.Native() {
		native = append(native, p.OS+"/"+p.Architecture)
	}
	err := json.NewEncoder(os.Stdout).Encode(map[string]any{
		"Args":   os.Args,
		"GOARCH": runtime.GOARCH,
		"UID":    os.Getuid(),
		"EUID":   os.Geteuid(),
		"Native": native,
	})
	if err != nil {
		os.Exit(1)
	}
}
