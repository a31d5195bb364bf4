package buildkit

import (
	"io"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// StartRequest is what a container of the image starts.
func (o ContainerOptions) StartRequest(image ocispec.ImageConfig) (gateway.StartRequest, error) {
	run := &containerRun{ContainerOptions: o}
	return run.startRequest(image)
}

// EndOf writes the chunks as a program's standard error and returns the exit code and
// error of a program that ended with code.
func EndOf(code int, stderr io.Writer, chunks ...string) (int, error) {
	run := &containerRun{code: code, ended: true, stdout: output{to: io.Discard}, stderr: output{to: stderr}}
	for _, chunk := range chunks {
		if _, err := run.stderr.Write([]byte(chunk)); err != nil {
			return 0, err
		}
	}
	return run.startFailure()
}
