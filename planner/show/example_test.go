package show_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/show"
)

// example plans a small Dockerfile for two platforms.
func example() *exact.Result {
	platforms, err := planner.ParsePlatforms("linux/amd64,linux/arm64")
	if err != nil {
		log.Fatal(err)
	}
	result, err := exact.Plan(context.Background(), exact.Options{
		Dockerfile: []byte("FROM --platform=$BUILDPLATFORM node:22 AS web\nRUN npm run build\nFROM debian:12\nRUN apt-get update\nCOPY --from=web /dist /srv\n"),
		Platforms:  platforms, BuildPlatform: platforms[0],
		Resolver: registry("index node:22 linux/amd64,linux/arm64\nindex debian:12 linux/amd64,linux/arm64"),
	})
	if err != nil {
		log.Fatal(err)
	}
	return result
}

func ExampleText() {
	if err := show.Text(os.Stdout, example(), show.Options{File: "Dockerfile", Width: 80}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Dockerfile · 2 stages · native linux/amd64 · QEMU for arm64
	//
	//   STAGE    FROM                amd64    arm64    NEEDS
	//   web      node:22 (on amd64)  ● 1 RUN  = amd64
	//   stage-1  debian:12           ● 1 RUN  ▲ 1 RUN  web L5
	//
	//   ● native   = shared with   ▲ emulated
	//
	//   RUN steps  4 requested, 3 distinct, 1 emulated
	//   Bases      2 of 2 have all platforms
	//
	//   ▲ L4  stage-1  arm64  apt-get update
	//
	// 0 errors, 0 warnings, 0 notes     more: --explain L4 --format=json|svg
}

func ExampleExplain() {
	explanation, err := exact.Explain(example(), 2)
	if err != nil {
		log.Fatal(err)
	}
	if err := show.Explain(os.Stdout, explanation, show.Options{File: "Dockerfile"}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Dockerfile L2 · RUN · stage web, FROM node:22
	//
	//     RUN npm run build
	//
	//   1 run for 2 platforms
	//   ● native on linux/amd64  for linux/amd64 linux/arm64
	//
	//   needs    L1 FROM --platform=$BUILDPLATFORM node:22 AS web
}

func ExampleSVG() {
	var picture bytes.Buffer
	if err := show.SVG(&picture, example(), show.Options{File: "Dockerfile"}); err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(picture.String()) {
		if strings.Contains(line, "<title>web for") {
			fmt.Print(line)
		}
	}
	// Output:
	// <g><title>web for linux/amd64: native on linux/amd64, 1 command</title>
	// <g><title>web for linux/arm64: shared with amd64</title>
}

func ExampleSARIF() {
	var document bytes.Buffer
	options := show.Options{
		File: "Dockerfile", Version: "1.0.0",
		Rules: []show.Rule{{Name: exact.RuleArgEarly, Level: exact.LevelNote, Summary: "An ARG is declared too early."}},
	}
	if err := show.SARIF(&document, example(), options); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(document.String(), `"id": "arg-early"`))
	// Output:
	// true
}
