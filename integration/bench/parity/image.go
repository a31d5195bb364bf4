package parity

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	inToto         = "application/vnd.in-toto+json"

	referenceDigest = "vnd.docker.reference.digest"
	predicateType   = "in-toto.io/predicate-type"
)

// store has the content of an image.
type store func(desc ocispec.Descriptor) ([]byte, error)

// observer collects the facts of one run.
type observer struct {
	facts Facts
	times bool
	// roles are what digests are called: two runs make different ones of what is the
	// same but for the time.
	roles map[string]string
	// back gives places their names again.
	back *strings.Replacer
}

func (o *observer) set(name string, value any) { o.facts[name] = fmt.Sprint(value) }

func (o *observer) annotations(name string, annotations map[string]string) {
	for key, value := range annotations {
		if key == ocispec.AnnotationCreated && !o.times {
			value = "(a time)"
		}
		o.set(name+" annotation "+key, value)
	}
}

// image collects the facts of everything below a descriptor.
func (o *observer) image(name string, root ocispec.Descriptor, content store) error {
	body, err := content(root)
	if err != nil {
		return err
	}
	o.set(name+" type", root.MediaType)
	o.roles[root.Digest.String()] = "(digest of " + name + ")"
	switch root.MediaType {
	case ocispec.MediaTypeImageIndex, dockerList:
		return o.index(name, body, content)
	case ocispec.MediaTypeImageManifest, dockerManifest:
		return o.manifest(name, body, content)
	}
	return fmt.Errorf("reading %s: it is a %s, not an image", name, root.MediaType)
}

func (o *observer) index(name string, body []byte, content store) error {
	var index ocispec.Index
	if err := json.Unmarshal(body, &index); err != nil {
		return fmt.Errorf("parsing the index %s: %w", name, err)
	}
	o.set(name+" type in the index", index.MediaType)
	o.annotations(name, index.Annotations)
	called := make(map[string]string) // by digest
	var order []string
	for _, entry := range index.Manifests {
		platform := "no platform"
		if entry.Platform != nil {
			platform = platforms.FormatAll(*entry.Platform)
		}
		if subject := entry.Annotations[referenceDigest]; subject != "" {
			platform = "attestation of " + called[subject]
		}
		called[entry.Digest.String()] = platform
		order = append(order, platform)
	}
	o.set(name+" entries", strings.Join(order, ", "))
	for _, entry := range index.Manifests {
		own := name + " " + called[entry.Digest.String()]
		o.annotations(own+" entry", entry.Annotations)
		o.set(own+" artifact type", entry.ArtifactType)
		if err := o.image(own, entry, content); err != nil {
			return err
		}
	}
	return nil
}

func (o *observer) manifest(name string, body []byte, content store) error {
	var manifest ocispec.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return fmt.Errorf("parsing the manifest %s: %w", name, err)
	}
	o.set(name+" type in the manifest", manifest.MediaType)
	o.annotations(name, manifest.Annotations)
	o.set(name+" config type", manifest.Config.MediaType)
	o.roles[manifest.Config.Digest.String()] = "(digest of the config of " + name + ")"
	attestation := false
	for i, layer := range manifest.Layers {
		own := fmt.Sprintf("%s layer %d", name, i)
		o.set(own+" type", layer.MediaType)
		o.annotations(own, layer.Annotations)
		if layer.MediaType == inToto {
			attestation = true
			if err := o.statement(name+" "+layer.Annotations[predicateType], layer, content); err != nil {
				return err
			}
			continue
		}
		o.set(own+" digest", layer.Digest)
	}
	if attestation { // the config has nothing but digests of statements
		return nil
	}
	config, err := content(manifest.Config)
	if err != nil {
		return err
	}
	return o.json(name+" config", config)
}

// statement collects what an attestation says, but for times and names of one run.
func (o *observer) statement(name string, desc ocispec.Descriptor, content store) error {
	body, err := content(desc)
	if err != nil {
		return err
	}
	return o.json(name, body)
}

// json collects the values of a JSON text, each under its path.
func (o *observer) json(name string, body []byte) error {
	var content any
	if err := json.Unmarshal(body, &content); err != nil {
		return fmt.Errorf("parsing %s: %w", name, err)
	}
	o.flatten(name, "", content)
	return nil
}

func (o *observer) flatten(name, key string, content any) {
	switch content := content.(type) {
	case map[string]any:
		if strings.HasSuffix(name, ".buildkit_metadata.layers") { // those that had been compressed by then, for whoever
			return
		}
		if key == "digestMapping" || key == "definition" { // digests of BuildKit's operations
			o.set(name, "(BuildKit's operations)")
			return
		}
		for key, value := range content {
			o.flatten(name+"."+key, key, value)
		}
	case []any:
		o.set(name+" length", len(content))
		for i, value := range content {
			o.flatten(fmt.Sprintf("%s[%d]", name, i), key, value)
		}
	case nil:
		o.set(name, "null")
	default:
		if !o.times && volatile(key) {
			content = "(another in every run)"
		}
		o.set(name, content)
	}
}

// volatile are keys of JSON texts whose values belong to one run.
func volatile(key string) bool {
	switch key {
	case "created", ocispec.AnnotationCreated, "startedOn", "finishedOn", "buildStartedOn", "buildFinishedOn", "invocationId", "buildInvocationID", "size":
		return true
	}
	return false
}

// settle gives digests their roles and places their names, in all facts.
func (o *observer) settle() {
	var words []string
	for digest, role := range o.roles {
		words = append(words, digest, role)
	}
	roles := strings.NewReplacer(words...)
	for name, value := range maps.Clone(o.facts) {
		delete(o.facts, name)
		o.facts[o.back.Replace(name)] = o.back.Replace(roles.Replace(value))
	}
}

// describe is the descriptor of a root of which only the content is known.
func describe(body []byte) ocispec.Descriptor {
	var content struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(body, &content) // what it isn't is told when it is read
	return ocispec.Descriptor{MediaType: content.MediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
}
