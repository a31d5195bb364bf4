package host_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/host"
)

// A directory without binfmt_misc is not an error to look at, but one to install
// into.
func Example() {
	ctx := context.Background()
	status, err := host.Inspect(ctx, host.StatusOptions{Table: "/nowhere"})
	fmt.Println(status.Access, err)

	_, err = host.Install(ctx, host.Options{Table: "/nowhere", State: "/nowhere/state.json"})
	fmt.Println(errors.Is(err, emulation.ErrNotMounted))
	// Output:
	// not-mounted <nil>
	// true
}

func ExampleParseConfig() {
	handlers, err := host.ParseConfig([]byte("# jexec\n:jar:E::jar::/usr/bin/jexec:\n:wine:M::MZ::wine:\n"))
	for _, h := range handlers {
		fmt.Println(h.Name, h.Interpreter)
	}
	fmt.Println(errors.Is(err, emulation.ErrInvalid))
	// Output:
	// jar /usr/bin/jexec
	// true
}
