package assist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// proofVersion is part of a proof's key. It changes with what is compared.
const proofVersion = 4

// proof is the outcome of comparing two images. Digests don't change what they
// stand for, so it holds for ever.
type proof struct {
	Version        int
	Recipe         string
	Target, Native digest.Digest
	Reason         string `json:",omitempty"` // why the tools don't fit, empty if they do
	Parts          string `json:",omitempty"` // JSON of why parts of the kit don't fit, by part
	Files          string `json:",omitempty"` // JSON of what Mount.Append makes, by target
}

// best returns the first of the parts that fits, or why the last one doesn't.
func (p proof) best(parts []string) (part, reason string) {
	if len(parts) == 0 {
		return "", p.fits("")
	}
	for _, part = range parts {
		if reason = p.fits(part); reason == "" {
			break
		}
	}
	return part, reason
}

// file is what a mount with Append shows.
func (p proof) file(target string) ([]byte, error) {
	files := make(map[string][]byte)
	if err := json.Unmarshal([]byte(p.Files), &files); err != nil {
		return nil, fmt.Errorf("reading what is known about %s: %w", target, err)
	}
	return files[target], nil
}

// fits says why the mounts of a part don't fit, empty if they do.
func (p proof) fits(part string) string {
	if p.Reason != "" || p.Parts == "" {
		return p.Reason
	}
	reasons := make(map[string]string)
	if err := json.Unmarshal([]byte(p.Parts), &reasons); err != nil {
		return "what is known about the images cannot be read"
	}
	return reasons[part]
}

// prove compares the images, or recalls the outcome; an error is the cause of ctx.
func (p *planning) prove(ctx context.Context, recipe Recipe, kit Kit, pair pairOf) (outcome proof, err error) {
	want := proof{Version: proofVersion, Recipe: recipe.Name(), Target: pair.target.Digest, Native: pair.native.Digest}
	key := digest.FromString(fmt.Sprint(proofVersion, " ", recipe.Name(), " ", kit.Mounts, " ", kit.Read, " ", want.Target, " ", want.Native)).Encoded()
	if found, ok := p.recall(key, want); ok {
		return found, nil
	}
	if p.opts.Content == nil {
		want.Reason = "the images have not been compared yet, and nothing can read their layers"
		return want, nil
	}
	var target, native Tree
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		target, err = readTree(groupCtx, p.opts.Content, pair.Target, pair.target, kit.targetFilter())
		return err
	})
	group.Go(func() (err error) {
		native, err = readTree(groupCtx, p.opts.Content, pair.Native, pair.native, kit.nativeFilter())
		return err
	})
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return want, context.Cause(ctx)
		}
		// It would be a pity, but no reason not to build.
		p.opts.Logger.WarnContext(ctx, "reading images for native tools", "ref", pair.ref, "error", err)
		want.Reason = fmt.Sprintf("the images cannot be compared: %v", err)
		return want, nil
	}
	if err := kit.check("", target, native); err != nil {
		want.Reason = err.Error()
	}
	if want.Parts, err = kit.checkParts(target, native); err != nil {
		return want, err
	}
	if want.Files, err = kit.files(target); err != nil {
		return want, err
	}
	p.remember(ctx, key, want)
	return want, nil
}

// checkParts says which parts don't fit.
func (k Kit) checkParts(target, native Tree) (string, error) {
	reasons := make(map[string]string)
	for _, m := range k.Mounts {
		if m.Part == "" || reasons[m.Part] != "" {
			continue
		}
		if err := k.check(m.Part, target, native); err != nil {
			reasons[m.Part] = err.Error()
		}
	}
	if len(reasons) == 0 {
		return "", nil
	}
	text, err := json.Marshal(reasons)
	return string(text), err
}

// files makes what mounts with Append show.
func (k Kit) files(target Tree) (string, error) {
	files := make(map[string][]byte)
	for _, m := range k.Mounts {
		if m.Append != "" && target.has(m.Target) {
			files[m.Target] = slices.Concat(target[m.Target].Content, []byte("\n"+m.Append))
		}
	}
	if len(files) == 0 {
		return "", nil
	}
	text, err := json.Marshal(files)
	return string(text), err
}

// check compares what the images really have for the mounts of a part.
func (k Kit) check(part string, target, native Tree) error {
	for _, mount := range k.mounts(part) {
		if mount.Append == "" && !native.has(mount.Source) && len(native.names(mount.Source)) == 0 {
			return fmt.Errorf("the image of the builder's platform has no %s", mount.Source)
		}
		if !mount.Creates && !target.has(mount.Target) && len(target.names(mount.Target)) == 0 {
			return fmt.Errorf("the image has no %s to mount over", mount.Target)
		}
		// A symbolic link would be followed to who knows where.
		for dir := mount.Target; dir != "/"; dir = path.Dir(dir) {
			if target[dir].Link != "" {
				return fmt.Errorf("%s is a symbolic link", dir)
			}
		}
	}
	if part != "" {
		return k.ProvePart(part, target, native)
	}
	return k.Prove(target, native)
}

func (k Kit) targetFilter() filter {
	f := filter{content: k.Read}
	for _, mount := range k.Mounts {
		if !mount.Creates {
			f.below = append(f.below, mount.Target)
		}
	}
	return f
}

func (k Kit) nativeFilter() filter {
	f := filter{content: k.Read}
	for _, mount := range k.Mounts {
		if mount.Append != "" {
			continue
		}
		if mount.Creates {
			f.exist = append(f.exist, mount.Source)
		} else {
			f.below = append(f.below, mount.Source)
		}
	}
	return f
}

// recall reads a proof from the cache. One that doesn't say what it is asked for
// is none.
func (p *planning) recall(key string, want proof) (proof, bool) {
	if p.opts.Cache == "" {
		return proof{}, false
	}
	text, err := os.ReadFile(filepath.Join(p.opts.Cache, key+".json"))
	if err != nil {
		return proof{}, false
	}
	var found proof
	if err := json.Unmarshal(text, &found); err != nil {
		return proof{}, false
	}
	want.Reason, want.Parts, want.Files = found.Reason, found.Parts, found.Files
	return found, found == want
}

// remember writes a proof. One that can't be written is made again.
func (p *planning) remember(ctx context.Context, key string, found proof) {
	if p.opts.Cache == "" {
		return
	}
	if err := writeProof(p.opts.Cache, key, found); err != nil {
		p.opts.Logger.WarnContext(ctx, "keeping what is known about native tools", "error", err)
	}
}

func writeProof(dir, key string, found proof) error {
	text, err := json.Marshal(found)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".proof-*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, key+".json"))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	return err
}

// pairOf is a pair with what is needed to read it.
type pairOf struct {
	Pair
	ref            string
	target, native ocispec.Descriptor
}

func named(img Image) string {
	p := img.Platform
	return strings.TrimSuffix(strings.Join([]string{p.OS, p.Architecture, p.Variant}, "/"), "/")
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
