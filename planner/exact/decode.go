package exact

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/proto"

	"github.com/mabuild/mabuild/planner"
)

// operation is one operation of one job.
type operation struct {
	op     *pb.Op
	digest digest.Digest // in BuildKit's terms
	id     digest.Digest // without what differs between sessions
	inputs []*operation
	places []Place
	text   string
	origin *ocispec.Platform // real platform of the files that it builds on
	exec   string            // platform that its command really executes on
}

// decode reads a definition, in which inputs come first.
func (p *plan) decode(j *job, def *llb.Definition) error {
	known := make(map[string]*operation)
	for _, text := range def.Def {
		op := &pb.Op{}
		if err := op.UnmarshalVT(text); err != nil {
			return fmt.Errorf("reading an operation: %w", err)
		}
		if op.Op == nil {
			continue // points to the result
		}
		o := &operation{op: op, digest: digest.FromBytes(text)}
		for _, input := range op.Inputs {
			from := known[input.Digest]
			if from == nil {
				return fmt.Errorf("reading an operation: input %s is missing", input.Digest)
			}
			o.inputs = append(o.inputs, from)
		}
		var err error
		if o.id, err = identify(o); err != nil {
			return err
		}
		description := def.Metadata[o.digest].Description
		o.text = description["com.docker.dockerfile.v1.command"]
		if o.text == "" {
			o.text = strings.TrimSpace(withoutPrefix(description["llb.customname"]))
		}
		if op.GetSource() != nil {
			o.text = redacted(o.text)
		}
		o.places = p.placesOf(def.Source, string(o.digest))
		known[string(o.digest)] = o
		j.ops = append(j.ops, o)
	}
	for _, o := range j.ops {
		o.placeMounts()
		if len(o.places) > 0 {
			i := p.stageIndex(o.places[0].Line)
			j.byStage[i] = append(j.byStage[i], o)
		}
	}
	return nil
}

// placeMounts gives images that a RUN mounts the place of the RUN: BuildKit
// does not say where they come from.
func (o *operation) placeMounts() {
	for _, mount := range o.op.GetExec().GetMounts() {
		if mount.Dest == pb.RootMount || mount.Input < 0 || int(mount.Input) >= len(o.inputs) {
			continue
		}
		if from := o.inputs[mount.Input]; len(from.places) == 0 && kindOf(from.op) == "image" {
			from.places = o.places
		}
	}
}

// withoutPrefix drops "[stage 1/2] " from the name of a step.
func withoutPrefix(name string) string {
	if strings.HasPrefix(name, "[") && !strings.HasPrefix(name, "[internal]") {
		if _, rest, ok := strings.Cut(name, "] "); ok {
			return rest
		}
	}
	return name
}

// identify computes the digest of an operation without what is particular to
// one session, or only selects local files.
func identify(o *operation) (digest.Digest, error) {
	op := o.op.CloneVT()
	if source := op.GetSource(); source != nil {
		for _, key := range []string{
			pb.AttrLocalSessionID, pb.AttrIncludePatterns, pb.AttrFollowPaths, pb.AttrExcludePatterns,
			pb.AttrSharedKeyHint, pb.AttrLocalUniqueID, pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID, pb.AttrImageResolveMode,
		} {
			delete(source.Attrs, key)
		}
	}
	op.Constraints = nil
	if op.GetFile() != nil {
		op.Platform = nil
	}
	for i, input := range op.Inputs {
		input.Digest = string(o.inputs[i].id)
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		return "", fmt.Errorf("writing an operation: %w", err)
	}
	return digest.FromBytes(text), nil
}

// placesOf returns where an operation stands in the Dockerfile.
func (p *plan) placesOf(source *pb.Source, key string) []Place {
	var places []Place
	for _, location := range source.GetLocations()[key].GetLocations() {
		if location.SourceIndex != 0 || len(location.Ranges) == 0 {
			continue
		}
		place := Place{Line: int(location.Ranges[0].GetStart().GetLine())}
		for _, r := range location.Ranges {
			place.EndLine = max(place.EndLine, int(r.GetEnd().GetLine()))
		}
		place.Stage = p.stageAt(place.Line)
		if !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	slices.SortFunc(places, func(a, b Place) int { return a.Line - b.Line })
	return places
}

// traceAll finds the real platform under every operation.
func (p *plan) traceAll(ctx context.Context) error {
	for _, j := range p.jobs {
		for _, o := range j.ops {
			if err := p.trace(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// trace follows an operation down to the image that its files come from; its
// inputs have been traced before. The platform in the operation is only the
// one that was asked for.
func (p *plan) trace(ctx context.Context, o *operation) error {
	base := -1
	switch op := o.op.Op.(type) {
	case *pb.Op_Source:
		img, err := p.imageOf(ctx, o.op)
		if err != nil || img == nil {
			return err
		}
		o.origin = &img.real
	case *pb.Op_Exec:
		for _, mount := range op.Exec.Mounts {
			if mount.Dest == pb.RootMount {
				base = int(mount.Input)
			}
		}
	case *pb.Op_File:
		if len(op.File.Actions) > 0 {
			base = int(op.File.Actions[0].Input)
		}
	case *pb.Op_Merge:
		if len(op.Merge.Inputs) > 0 {
			base = int(op.Merge.Inputs[0].Input)
		}
	}
	if base >= 0 && base < len(o.inputs) {
		o.origin = o.inputs[base].origin
	}
	if o.op.GetExec() == nil {
		return nil
	}
	switch {
	case o.origin != nil:
		o.exec = planner.FormatPlatform(*o.origin)
	case o.op.Platform != nil:
		o.exec = planner.FormatPlatform(wantedPlatform(o.op))
	}
	return nil
}

func wantedPlatform(op *pb.Op) ocispec.Platform {
	if op.Platform == nil {
		return ocispec.Platform{}
	}
	return platforms.Normalize(ocispec.Platform{
		OS: op.Platform.OS, Architecture: op.Platform.Architecture, Variant: op.Platform.Variant, OSVersion: op.Platform.OSVersion,
	})
}

// imageOf returns the image behind a source, nil if it is something else.
func (p *plan) imageOf(ctx context.Context, op *pb.Op) (*image, error) {
	source := op.GetSource()
	kind, ref, _ := strings.Cut(source.Identifier, "://")
	switch kind {
	case "oci-layout":
		return p.images.look(ctx, source.Attrs[pb.AttrOCILayoutStoreID], ref, wantedPlatform(op))
	case "docker-image":
		// BuildKit adds the digest that it got to what it asked for.
		asked, _, _ := strings.Cut(ref, "@")
		for _, known := range []string{ref, asked} {
			if p.images.knows(known) {
				return p.images.look(ctx, "", known, wantedPlatform(op))
			}
		}
		// An image that only a trigger leads to has not been looked up.
		return p.images.look(ctx, "", ref, wantedPlatform(op))
	}
	return nil, nil //nolint:nilnil // nil is a source that is no image
}

// steps merges the operations of all jobs.
func (p *plan) steps() []Step {
	byID := make(map[digest.Digest]*Step)
	var order []*Step
	for _, j := range p.jobs {
		for _, o := range j.ops {
			s := byID[o.id]
			if s == nil {
				s = p.step(o)
				byID[o.id] = s
				order = append(order, s)
			}
			if !slices.Contains(s.Digests, o.digest) {
				s.Digests = append(s.Digests, o.digest)
			}
			if !slices.Contains(s.Platforms, j.name) {
				s.Platforms = append(s.Platforms, j.name)
			}
		}
	}
	slices.SortStableFunc(order, func(a, b *Step) int { return cmp.Compare(a.Line, b.Line) })
	steps := make([]Step, len(order))
	for i, s := range order {
		s.Shared = len(s.Platforms) > 1
		steps[i] = *s
	}
	return steps
}

func (p *plan) step(o *operation) *Step {
	s := &Step{ID: o.id, Command: o.text, Kind: kindOf(o.op), ExecPlatform: o.exec}
	if len(o.places) > 0 {
		s.Place, s.Also = o.places[0], o.places[1:]
	}
	if source := o.op.GetSource(); source != nil {
		if s.Command == "" {
			s.Command = redacted(source.Identifier)
		}
		if s.Kind == "image" {
			_, s.Image, _ = strings.Cut(source.Identifier, "://")
		}
		if o.origin != nil {
			s.ExecPlatform = planner.FormatPlatform(*o.origin)
		}
		if len(s.Also) > 0 { // the command may be that of another place
			s.Command = strings.TrimSpace(p.source(s.Line, s.EndLine))
		}
	}
	if s.Line > 0 {
		s.Command = strings.TrimPrefix(s.Command, "LINK ") // of COPY --link
		if word, _, _ := strings.Cut(strings.TrimSpace(s.Command), " "); word == strings.ToUpper(word) {
			s.Instruction = word
		}
	}
	for _, input := range o.inputs {
		s.Inputs = append(s.Inputs, input.id)
	}
	if exec := o.op.GetExec(); exec != nil {
		s.Args, s.Env, s.Mounts = exec.GetMeta().GetArgs(), exec.GetMeta().GetEnv(), mountsOf(exec)
		for _, secret := range exec.GetSecretenv() {
			s.SecretEnv = append(s.SecretEnv, secret.GetID())
		}
		s.State = StateEmulated
		if platform, err := platforms.Parse(o.exec); err == nil && planner.Runnable(p.opts.Native, platform) {
			s.State = StateNative
		}
	}
	return s
}

// mountsOf lists what a command sees beside the files of its stage.
func mountsOf(exec *pb.ExecOp) []Mount {
	var mounts []Mount
	for _, m := range exec.Mounts {
		mount := Mount{Type: MountBind, Target: m.Dest}
		switch m.MountType {
		case pb.MountType_BIND:
			if m.Dest == pb.RootMount {
				continue
			}
		case pb.MountType_CACHE:
			mount.Type, mount.ID = MountCache, m.GetCacheOpt().GetID()
			mount.Sharing = strings.ToLower(m.GetCacheOpt().GetSharing().String())
		case pb.MountType_TMPFS:
			mount.Type = MountTmpfs
		case pb.MountType_SECRET:
			mount.Type, mount.ID = MountSecret, m.GetSecretOpt().GetID()
		case pb.MountType_SSH:
			mount.Type, mount.ID = MountSSH, m.GetSSHOpt().GetID()
		}
		mounts = append(mounts, mount)
	}
	return mounts
}

func kindOf(op *pb.Op) string {
	switch x := op.Op.(type) {
	case *pb.Op_Source:
		kind, _, _ := strings.Cut(x.Source.Identifier, "://")
		if kind == "docker-image" {
			return "image"
		}
		return kind
	case *pb.Op_Exec:
		return "exec"
	case *pb.Op_File:
		return "file"
	case *pb.Op_Merge:
		return "merge"
	case *pb.Op_Diff:
		return "diff"
	}
	return "other"
}
