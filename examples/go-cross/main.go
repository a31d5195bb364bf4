// Command hello says which platform it was compiled for.
package main

import (
	"fmt"
	"runtime"
)

func main() {
	fmt.Printf("Hello from %s/%s, compiled by %s\n", runtime.GOOS, runtime.GOARCH, runtime.Version())
}
