package tools_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/mabuild/mabuild/builder/tools"
)

func ExampleFind() {
	_, err := tools.Find(context.Background(), tools.Options{
		Mode: tools.ImageOnly, Dir: "/nonexistent/tools", Offline: true,
	}, tools.Needs{Runc: true, QEMU: []string{"riscv64"}})
	if errors.Is(err, tools.ErrOffline) {
		fmt.Println(err)
	}
	// Output:
	// getting qemu-riscv64 and runc: the registry is out of reach: mabuild was told to stay offline, and /nonexistent/tools doesn't have it; run `apt-get install qemu-user-static runc`, or name an image that this machine can fetch: --tools-image HOST/NAME:TAG --tools-image runc=HOST/NAME:TAG
}

func ExampleParseImages() {
	images, err := tools.ParseImages("tonistiigi/binfmt:qemu-v9.2.2", "runc=registry.example/mirror/buildkit")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(images.QEMU)
	fmt.Println(images.Runc)
	// Output:
	// docker.io/tonistiigi/binfmt:qemu-v9.2.2
	// registry.example/mirror/buildkit:latest
}
