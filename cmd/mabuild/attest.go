package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/verify"
)

// attestFlags say what is to be told about images, as written. Nothing is unless it is
// asked for: many consumers of an image take no index with attestations in it.
type attestFlags struct {
	attests    []string
	provenance string
	sbom       string
}

func (f *attestFlags) addFlags(set *pflag.FlagSet) {
	set.StringVar(&f.provenance, "provenance", "", "attest how the images were made: `SPEC` is true, or mode=min|max[,builder-id=URL,…] (default: no attestations)")
	set.StringVar(&f.sbom, "sbom", "", "attest what is in the images: `SPEC` is true, or generator=IMAGE")
	set.StringArrayVar(&f.attests, "attest", nil, "`SPEC` is type=provenance|sbom[,key=value…], the long form of --provenance and --sbom")
}

// attrs are BuildKit's attributes, attest:TYPE. The first of a type counts, as in
// buildx.
func (f *attestFlags) attrs() (map[string]string, error) {
	specs := slices.Clone(f.attests)
	for _, short := range []struct{ kind, value string }{{"provenance", f.provenance}, {"sbom", f.sbom}} {
		if short.value == "" {
			continue
		}
		spec := "type=" + short.kind
		if on, err := strconv.ParseBool(short.value); err != nil {
			spec += "," + short.value
		} else if !on {
			spec += ",disabled=true"
		}
		specs = append(specs, spec)
	}
	attrs := make(map[string]string)
	seen := make(map[string]bool)
	for _, spec := range specs {
		kind, value, disabled, err := parseAttest(spec)
		if err != nil {
			return nil, usagef("attestation %q: %w", spec, err)
		}
		if !seen[kind] && !disabled {
			attrs["attest:"+kind] = value
		}
		seen[kind] = true
	}
	return attrs, nil
}

// parseAttest reads type=TYPE,key=value… and writes it with the keys in order.
func parseAttest(spec string) (kind, value string, disabled bool, err error) {
	fields, err := csvvalue.Fields(spec, nil)
	if err != nil {
		return "", "", false, err
	}
	attrs := make(map[string]string)
	for _, field := range fields {
		name, value, found := strings.Cut(field, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "type":
			kind = value
		case "disabled":
			if disabled, err = strconv.ParseBool(value); err != nil {
				return "", "", false, fmt.Errorf("disabled=%s is neither true nor false", value)
			}
		default:
			if !found {
				return "", "", false, fmt.Errorf("%q is not key=value; write true or key=value", field)
			}
			attrs[name] = value
		}
	}
	if kind != "provenance" && kind != "sbom" {
		return "", "", false, fmt.Errorf("type=%s is unknown; use provenance or sbom", kind)
	}
	record := []string{"type=" + kind}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		record = append(record, name+"="+attrs[name])
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.Write(record); err != nil {
		return "", "", false, err
	}
	w.Flush()
	return kind, strings.TrimSuffix(b.String(), "\n"), disabled, nil
}

// children reads the indexes that jobs with attestations make, so that what is in them
// becomes part of the result's own index.
func children(content verify.Source) func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		body, err := content.Open(ctx, desc)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		text, err := io.ReadAll(io.LimitReader(body, index.MaxSize+1))
		if err != nil {
			return nil, err
		}
		if got := desc.Digest.Algorithm().FromBytes(text); got != desc.Digest {
			return nil, fmt.Errorf("what is there as %s has the digest %s", desc.Digest, got)
		}
		return index.Flatten(text)
	}
}
