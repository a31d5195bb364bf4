package command

import (
	"bytes"
	"fmt"
	"os/exec"
)

// Need says which of the programs is missing and which package has it.
func Need(names ...string) error {
	packages := map[string]string{
		"apt-get": "apt", "apt-config": "apt", "dpkg-deb": "dpkg", "debootstrap": "debootstrap", "go": "golang-go",
	}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("looking for %s: %w: the base images are made on Debian and its kin; run apt-get install %s",
				name, err, packages[name])
		}
	}
	return nil
}

// Tail returns the last lines of a program's output, as a part of an error.
func Tail(output []byte) string {
	const most = 2000
	output = bytes.TrimSpace(output)
	if len(output) == 0 {
		return ""
	}
	if len(output) > most {
		output = append([]byte("…"), output[len(output)-most:]...)
	}
	return "\n" + string(output)
}
