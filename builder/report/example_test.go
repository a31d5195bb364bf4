package report_test

import (
	"fmt"
	"log"
	"os"

	"github.com/mabuild/mabuild/builder/report"
)

func ExampleBuild_CriticalPath() {
	b := service(false)
	path := b.CriticalPath()
	for _, s := range b.Steps {
		for _, id := range path.Steps {
			if s.ID == id && s.Duration().Seconds() > 3 {
				fmt.Println(s.Platforms[0], s.Duration(), s.Name)
			}
		}
	}
	// Output:
	// linux/s390x 4.1s FROM docker.io/library/golang:1.26
	// linux/s390x 32s RUN go mod download
	// linux/s390x 1m28s RUN go build -trimpath -ldflags='-s -w' -o /out/shop-api ./cmd/shop-api
}

func ExampleStore() {
	dir, err := os.MkdirTemp("", "builds-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store := report.Store{Dir: dir}
	if err := store.Save(small()); err != nil {
		log.Fatal(err)
	}
	list, err := store.List()
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range list {
		fmt.Println(b.ID, b.Duration(), b.Platforms)
	}
	b, err := store.Load("sma")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Steps[0].Command)
	// Output:
	// SMALL 420ms [linux/amd64]
	// RUN echo hello
}
