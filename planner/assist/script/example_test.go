package script_test

import (
	"fmt"

	"github.com/mabuild/mabuild/planner/assist/script"
)

func ExampleRead() {
	commands, _ := script.Read([]string{"/bin/sh", "-c", `test -f go.mod && GOOS=js go build -o "$OUT" | tee log`})
	for _, c := range commands {
		fmt.Printf("%q %q\n", c.Words, c.Assigns)
	}
	// Output:
	// ["test" "-f" "go.mod"] []
	// ["go" "build" "-o" "$OUT"] ["GOOS=js"]
	// ["tee" "log"] []
}
