// Command app adds and says for what it was compiled.
package main

import "runtime"

func main() { println(runtime.GOARCH, 40+len("ab"), 1.0/3) }
