package output_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mabuild/mabuild/builder/output"
)

var specs = map[string]output.Spec{
	"type=image":                        {Type: output.Image},
	"type=image,push=true":              {Type: output.Image, Push: true},
	"type=image,push=0":                 {Type: output.Image},
	"type=registry":                     {Type: output.Image, Push: true},
	"type=registry,name=ghcr.io/me/app": {Type: output.Image, Push: true, Names: []string{"ghcr.io/me/app"}},
	`type=registry,"name=a:1,b:2",name=c`: {
		Type: output.Image, Push: true, Names: []string{"a:1", "b:2", "c"},
	},
	"type=image,compression=zstd,compression-level=9,oci-mediatypes=true,force-compression=true,rewrite-timestamp=true": {
		Type: output.Image, Attrs: map[string]string{
			"compression": "zstd", "compression-level": "9", "oci-mediatypes": "true", "force-compression": "true", "rewrite-timestamp": "true",
		},
	},
	" TYPE =image": {Type: output.Image},
	"type=image,compression=estargz,compression-level=9,unpack=false,store=true,name-canonical=true": {
		Type: output.Image, Attrs: map[string]string{"compression": "estargz", "compression-level": "9"},
	},
	"type=image,push=true,push-by-digest=true,name-canonical=true,name=ghcr.io/me/app": {
		Type: output.Image, Push: true, ByDigest: true, Names: []string{"ghcr.io/me/app"},
	},
	"type=docker":                       {Type: output.Docker},
	"type=docker,context=lab,name=app":  {Type: output.Docker, Context: "lab", Names: []string{"app"}},
	"type=docker,dest=app.tar":          {Type: output.Docker, Dest: "app.tar"},
	"type=docker,dest=-":                {Type: output.Docker, Dest: "-"},
	"type=oci":                          {Type: output.OCI, Dest: "-"},
	"type=oci,dest=-":                   {Type: output.OCI, Dest: "-"},
	"type=oci,dest=out//app.tar":        {Type: output.OCI, Dest: "out/app.tar"},
	"type=oci,dest=./-":                 {Type: output.OCI, Dest: "./-"},
	"type=oci,tar=false,dest=out":       {Type: output.OCI, Dest: "out", Directory: true},
	"type=oci,tar=true,dest=out":        {Type: output.OCI, Dest: "out"},
	`type=oci,"dest=a,b.tar"`:           {Type: output.OCI, Dest: "a,b.tar"},
	"type=oci,dest=a=b.tar,name=app":    {Type: output.OCI, Dest: "a=b.tar", Names: []string{"app"}},
	"type=local,dest=out":               {Type: output.Local, Dest: "out"},
	"type=local,dest=.":                 {Type: output.Local, Dest: "."},
	"out":                               {Type: output.Local, Dest: "out"},
	"./out/":                            {Type: output.Local, Dest: "out"},
	"/":                                 {Type: output.Local, Dest: "/"},
	"-":                                 {Type: output.Tar, Dest: "-"},
	"type=tar":                          {Type: output.Tar, Dest: "-"},
	"type=tar,dest=../files.tar":        {Type: output.Tar, Dest: "../files.tar"},
	"type=registry,push=false,name=app": {Type: output.Image, Names: []string{"app"}},
}

func TestParse(t *testing.T) {
	for value, want := range specs {
		t.Run(value, func(t *testing.T) {
			got, err := output.Parse(value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is wrong, and what to do about it.
var badSpecs = map[string][2]string{
	"":                                  {"empty", "use a directory"},
	" ":                                 {"empty", "use a directory"},
	"\n":                                {"empty", "use a directory"},
	"dest=out":                          {"the type is missing", "add type="},
	"push=true":                         {"the type is missing", "add type="},
	"type=":                             {`unknown type ""`, "use image"},
	"type=oic":                          {`unknown type "oic"`, "use image"},
	"type=Image":                        {`unknown type "Image"`, "use image"},
	"type=docker,push=true":             {"type=docker cannot be pushed", "use type=registry"},
	"type=docker,tar=false":             {"tar=false is for type=oci", "leave it away"},
	"type=image,context=lab":            {"context is the docker context", "leave it away"},
	"type=image,push-by-digest=1":       {"push-by-digest=true is for what is pushed", "use type=registry"},
	"type=image,unpack=true":            {"unpack=true is not supported", "mabuild run"},
	"type=image,store=false":            {"store=false is not supported", "leave store away"},
	"type=image,compression=lz4":        {"compression=lz4 is unknown", "use gzip"},
	"type=image,compression-level=best": {"compression-level=best is not a number", "up to 9"},
	"type=image,compression-level=10":   {"compression-level=10 is too high", "up to 9"},
	"type=image,compression=uncompressed,compression-level=1": {"has no levels", "leave compression-level away"},
	"type=image,compression=estargz,oci-mediatypes=false":     {"needs OCI media types", "leave oci-mediatypes=false away"},
	"type=image,dangling-name-prefix=x":                       {"is not supported", "leave it away"},
	"type=registry,registry.insecure=true":                    {"is not supported", "--engine-config"},
	"type=image,app.tar":                                      {`"app.tar" is not key=value`, "write dest=PATH"},
	"type=image,":                                             {`"" is not key=value`, "write dest=PATH"},
	",":                                                       {`"" is not key=value`, "write dest=PATH"},
	"type=image,dest=app.tar":                                 {"type=image has no dest", "use type=oci"},
	"type=image,push=maybe":                                   {"push=maybe", "write push=true or push=false"},
	"type=oci,tar=no":                                         {"tar=no", "write tar=true or tar=false"},
	"type=image,push":                                         {`"push" is not key=value`, "write"},
	"type=image,nam=app":                                      {`key "nam" is not supported`, "use type, name, dest, push"},
	"type=image,=x":                                           {`key "" is not supported`, "use type"},
	"type=image,annotation-.a=b":                              {`key "annotation-.a" is no annotation`, "annotation.NAME=VALUE"},
	"type=image,annotation=b":                                 {`key "annotation" is no annotation`, "annotation.NAME=VALUE"},
	"type=tar,annotation.a=b":                                 {"type=tar writes files", "leave everything but dest away"},
	"type=cacheonly,dest=x":                                   {"type=cacheonly delivers nothing", "leave everything else away"},
	"type=registry,name=":                                     {"a name is empty", "write name=REGISTRY/NAME:TAG"},
	`type=registry,"name=a,"`:                                 {"a name is empty", "write name=REGISTRY/NAME:TAG"},
	"type=oci,push=true":                                      {"type=oci cannot be pushed", "use type=registry"},
	"type=oci,tar=false":                                      {"tar=false writes a directory", "add dest=DIR"},
	"type=oci,tar=false,dest=-":                               {"tar=false writes a directory", "add dest=DIR"},
	"type=tar,tar=false":                                      {"tar=false is for type=oci", "leave it away"},
	"type=image,tar=false":                                    {"tar=false is for type=oci", "leave it away"},
	"type=local":                                              {"type=local writes a directory", "add dest=DIR"},
	"type=local,dest=":                                        {"type=local writes a directory", "add dest=DIR"},
	"type=local,dest=-":                                       {"type=local needs a directory", "use type=tar,dest=-"},
	"type=local,dest=out,name=app":                            {"type=local writes files", "leave everything but dest away"},
	"type=tar,compression=zstd":                               {"type=tar writes files", "leave everything but dest away"},
	"type=local,dest=o,push=true":                             {"type=local writes files", "leave everything but dest away"},
	`type=image,name=a"b`:                                     {`bare "`, "double quotes"},
	`"type=image`:                                             {`"`, "double quotes"},
}

func TestParseErrors(t *testing.T) {
	for value, want := range badSpecs {
		t.Run(value, func(t *testing.T) {
			got, err := output.Parse(value)
			if !errors.Is(err, output.ErrSpec) {
				t.Fatalf("%+v, error %v", got, err)
			}
			for _, want := range want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
		})
	}
}

// format writes a specification so that it reads as the same again.
func format(spec output.Spec) string {
	fields := []string{"type=" + string(spec.Type)}
	for _, name := range spec.Names {
		fields = append(fields, "name="+name)
	}
	if spec.Push {
		fields = append(fields, "push=true")
	}
	if spec.Dest != "" {
		fields = append(fields, "dest="+spec.Dest)
	}
	if spec.Directory {
		fields = append(fields, "tar=false")
	}
	if spec.ByDigest {
		fields = append(fields, "push-by-digest=true")
	}
	if spec.Context != "" {
		fields = append(fields, "context="+spec.Context)
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Attrs)) {
		fields = append(fields, key+"="+spec.Attrs[key])
	}
	for i, field := range fields {
		fields[i] = `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
	}
	return strings.Join(fields, ",")
}

func FuzzParse(f *testing.F) {
	for value := range specs {
		f.Add(value)
	}
	for value := range badSpecs {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		spec, err := output.Parse(value)
		if err != nil {
			if !errors.Is(err, output.ErrSpec) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		switch spec.Type {
		case output.Image:
			if spec.Dest != "" || spec.Directory {
				t.Errorf("an image with a destination: %+v", spec)
			}
		case output.Docker:
			if spec.Push || spec.Directory {
				t.Errorf("a Docker image that is pushed, or a directory: %+v", spec)
			}
		case output.OCI, output.Local, output.Tar:
			if spec.Dest == "" || spec.Push {
				t.Errorf("no destination, or pushed: %+v", spec)
			}
		default:
			t.Errorf("type %q", spec.Type)
		}
		again, err := output.Parse(format(spec))
		if err != nil {
			t.Fatalf("%q is %+v, but not as %s: %v", value, spec, format(spec), err)
		}
		if diff := cmp.Diff(spec, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q read again (-first +second):\n%s", value, diff)
		}
	})
}
