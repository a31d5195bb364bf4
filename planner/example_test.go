package planner_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/containerd/platforms"

	"github.com/mabuild/mabuild/planner"
)

func ExampleParsePlatforms() {
	list, err := planner.ParsePlatforms("linux/x86_64, Linux/aarch64", "linux/arm64/v8,linux/arm/v6")
	if err != nil {
		log.Fatal(err)
	}
	for _, platform := range list {
		fmt.Println(platforms.Format(platform))
	}

	_, err = planner.ParsePlatforms("linux/amd64,linux/armv7")
	fmt.Println(err)
	// Output:
	// linux/amd64
	// linux/arm64
	// linux/arm/v6
	// platform "linux/armv7": unknown architecture "armv7" for linux; did you mean linux/arm/v7?
}

func ExampleExpand() {
	dockerfile := `FROM --platform=$BUILDPLATFORM golang AS build
RUN go build -o /app .

FROM debian
RUN apt-get install ca-certificates
COPY --from=build /app /app
`
	list, err := planner.ParsePlatforms("linux/amd64,linux/arm64")
	if err != nil {
		log.Fatal(err)
	}
	plan, err := planner.Expand([]byte(dockerfile), planner.Options{Platforms: list, BuildPlatform: list[0]})
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range plan.Jobs {
		fmt.Println(platforms.Format(job.Platform))
		for _, stage := range job.Stages {
			fmt.Printf("  %s FROM %s runs on %s\n", stage.Name, stage.Base, platforms.Format(stage.Platform))
		}
	}
	for _, stage := range plan.Foreign(list[:1]) {
		fmt.Printf("line %d needs an emulator for %s\n", stage.RunLine, platforms.Format(stage.Platform))
	}
	// Output:
	// linux/amd64
	//   build FROM golang runs on linux/amd64
	//   stage-1 FROM debian runs on linux/amd64
	// linux/arm64
	//   build FROM golang runs on linux/amd64
	//   stage-1 FROM debian runs on linux/arm64
	// line 5 needs an emulator for linux/arm64
}

func ExampleError() {
	_, err := planner.Expand([]byte("FROM scratch\nCPOY . .\n"), planner.Options{})
	var located *planner.Error
	if errors.As(err, &located) {
		fmt.Println(located.Line)
	}
	fmt.Println(err)
	// Output:
	// 2
	// Dockerfile:2: unknown instruction: CPOY (did you mean COPY?)
}
