package pin_test

import (
	"fmt"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/pin"
)

const dockerfile = `FROM golang:1.26 AS build
RUN go mod download
RUN CGO_ENABLED=0 go build -o /out/app .
FROM scratch
COPY --from=build /out/app /app
`

func ExampleApply() {
	text, err := pin.Apply([]byte(dockerfile), []pin.Pin{{Stage: "build"}}, platforms.MustParse("linux/arm64"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", text)
	// Output:
	// FROM --platform=$BUILDPLATFORM golang:1.26 AS build
	// RUN go mod download
	// RUN export CGO_ENABLED=0 GOOS=linux GOARCH=arm64; CGO_ENABLED=0 go build -o /out/app .
	// FROM scratch
	// COPY --from=build /out/app /app
}

func ExamplePatch() {
	text, err := pin.Patch([]byte(dockerfile), []pin.Pin{{Stage: "build"}}, []ocispec.Platform{platforms.MustParse("linux/arm64")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", text)
	// Output:
	// FROM --platform=$BUILDPLATFORM golang:1.26 AS build
	// RUN go mod download
	// ARG TARGETOS TARGETARCH TARGETVARIANT
	// ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v}
	// RUN CGO_ENABLED=0 go build -o /out/app .
	// FROM scratch
	// COPY --from=build /out/app /app
}
