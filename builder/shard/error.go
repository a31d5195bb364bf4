package shard

import (
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MissingError says which platforms no shard has announced yet. To a shard it is no
// failure: the one that comes last makes the image.
type MissingError struct {
	// Platforms are those that are missing, in the plan's order.
	Platforms []ocispec.Platform
	// Tags are the references under which they are expected.
	Tags []string
}

func (e *MissingError) Error() string {
	names := make([]string, 0, len(e.Platforms))
	for _, platform := range e.Platforms {
		names = append(names, platforms.FormatAll(platform))
	}
	return fmt.Sprintf("no shard has announced %s yet (looked for %s); the image is made when they are there: look what became of their jobs and run them again, they find what the others did",
		strings.Join(names, ", "), strings.Join(e.Tags, ", "))
}

// PlanError is the refusal to make one image of shards of different plans.
type PlanError struct {
	// Platform is that of the other shard.
	Platform ocispec.Platform
	// Tag is the reference of its announcement.
	Tag string
	// Differs are the facts of the plan, by the names of [Plan], that are not the same.
	Differs []string
}

func (e *PlanError) Error() string {
	differ := "differs"
	if len(e.Differs) > 1 {
		differ = "differ"
	}
	return fmt.Sprintf("%s was announced by a shard of another plan (%s): %s %s; give all shards the same arguments and start a new run",
		platforms.FormatAll(e.Platform), e.Tag, strings.Join(e.Differs, " and "), differ)
}

// partly adds to the error of one of several names what became of the others.
func partly(names []string, written int, err error) error {
	if written == 0 {
		return err
	}
	return fmt.Errorf("%w\nWritten: %s. Not written: %s. Run the job again to finish.",
		err, strings.Join(names[:written], ", "), strings.Join(names[written:], ", "))
}
