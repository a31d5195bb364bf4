package assist

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/assist/script"
	"github.com/mabuild/mabuild/planner/exact"
)

// ErrUnknownImage is what [Recipe.Find] returns for an image that is none of the
// recipe's.
var ErrUnknownImage = errors.New("no recipe knows the image")

// Recipe knows one family of tools. Its methods are called concurrently.
type Recipe interface {
	// Name is what users call it.
	Name() string

	// Find says what the pair of images has to offer, by their configurations
	// alone. It returns ErrUnknownImage for an image that is none of its own; any
	// other error is the reason why there is nothing to offer.
	Find(pair Pair) (Kit, error)

	// Judge says what the kit does for one command.
	Judge(run Run) Verdict
}

// Image is one image of an index.
type Image struct {
	Ref      string // complete, as the resolver has it, with the digest of this image
	Digest   digest.Digest
	Platform ocispec.Platform
	Env      map[string]string
	Dir      string // working directory
}

// Pair is an image and the one for the builder's own platform beside it in the
// same index.
type Pair struct{ Target, Native Image }

// Kit is what a recipe mounts.
type Kit struct {
	Mounts []Mount

	// Tree is the directory that the recipe relies on. What a stage puts into it,
	// or over it, spoils the kit.
	Tree string

	// Read lists files whose content Prove needs, beside the names of everything
	// in the mounts.
	Read []string

	// Prove compares what the two images really have. Both are the final view of
	// all layers, limited to Read and the mounts' sources and targets.
	Prove func(target, native Tree) error

	// ProvePart does the same for the mounts of a part, whose failure leaves the rest
	// of the kit as it is. Nil if there are no parts.
	ProvePart func(part string, target, native Tree) error
}

// mounts are those that a command gets.
func (k Kit) mounts(part string) []Mount {
	return slices.DeleteFunc(slices.Clone(k.Mounts), func(m Mount) bool { return m.Part != part })
}

// Mount puts files of the native image over those of the target.
type Mount struct {
	Source string // absolute, in the native image
	Target string // absolute, in the stage

	// Append, if set, makes it a mount of the target's own file with this text at its
	// end; Source is empty then, and Kit.Read has Target.
	Append string

	// Part names the commands that get the mount, see Verdict.Parts. Most have none.
	Part string

	// Creates says that the target has no such path. BuildKit makes one for the
	// time of the command and takes it away afterwards. No recipe that is on by
	// default may ask for it.
	Creates bool
}

// Run is one command of a stage.
type Run struct {
	Pair     Pair
	Kit      Kit
	Args     []string // of the process
	Env      map[string]string
	Dir      string // working directory
	Commands []script.Command
	// Opaque is set if Args is no shell command that could be read, for example a
	// script with an interpreter of its own.
	Opaque bool
	Mounts []exact.Mount
	Files  fs.FS // the build context, nil if it is not a directory
}

// Verdict is what a recipe thinks of a command.
type Verdict struct {
	// Use says that the command may call the tools.
	Use bool
	// Parts are those whose mounts the command may get, the best one first: it gets
	// the first that is proven. Nil is the part without a name.
	Parts []string
	// Reason says why the command must not get them, empty if it may.
	Reason string
	// Spoils says that the tools may be others afterwards, so that later commands
	// of the stage don't get any either.
	Spoils bool
	// Unread says that what the command does to the files of the parts cannot be known,
	// so that later commands of the stage get none of the parts.
	Unread bool
	// Note says what could not be known.
	Note string
}

// Default returns the recipes that are on by default.
func Default() []Recipe { return []Recipe{Go{}} }

// Parse reads the value of --assist: names with commas, off, or on for the
// default.
func Parse(list string) ([]Recipe, error) {
	switch list {
	case "", "on":
		return Default(), nil
	case "off":
		return []Recipe{}, nil
	}
	known := []Recipe{Go{}, Java{}}
	var recipes []Recipe
	seen := make(map[string]bool)
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		var found Recipe
		for _, r := range known {
			if r.Name() == name {
				found = r
			}
		}
		if found == nil {
			return nil, fmt.Errorf("reading --assist=%s: no recipe is called %q; use on, off, or a list of go and java", list, name)
		}
		if !seen[name] {
			seen[name] = true
			recipes = append(recipes, found)
		}
	}
	return recipes, nil
}
