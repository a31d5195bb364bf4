package release_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestRelease makes the files of this machine's platform twice, and takes them for what a
// user would: the checksums fit, the program says its version and the SBOM is one.
func TestRelease(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make here: install it, for example by `apt-get install make`")
	}
	first, second := release(t), release(t)
	files, err := os.ReadDir(first)
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, want the program, its SBOM and two lists: %v", len(files), err)
	}
	for _, file := range files {
		one, two := read(t, filepath.Join(first, file.Name())), read(t, filepath.Join(second, file.Name()))
		if !bytes.Equal(one, two) {
			t.Errorf("%s is another one the second time", file.Name())
		}
	}
	run(t, first, "sha256sum", "-c", "checksums.txt")
	name := filepath.Join(first, fmt.Sprintf("mabuild_%s_%s", runtime.GOOS, runtime.GOARCH))
	if text := run(t, first, name, "version"); !strings.Contains(text, "v1.2.3-test") {
		t.Errorf("the program says %q", text)
	}
	var sbom any = decode(t, read(t, name+".cdx.json"))
	if err := cycloneDX(t).Validate(sbom); err != nil {
		t.Error(err)
	}
	if parts := sbom.(map[string]any)["components"].([]any); len(parts) < 50 { // it has more dependencies
		t.Errorf("the SBOM has %d components", len(parts))
	}
}

// release makes the files in a folder of its own.
func release(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dist")
	run(t, "../..", "make", "release", "DIST="+dir, "BIN="+relative(t), "VERSION=v1.2.3-test", "TARGETS="+runtime.GOOS+"/"+runtime.GOARCH)
	return dir
}

// relative is a folder for tools, as seen from the root of the repository.
func relative(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Rel(root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// cycloneDX is the schema that the library which writes the SBOMs tests itself by.
func cycloneDX(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir := strings.TrimSpace(run(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))
	const site = "http://cyclonedx.org/schema/"
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{
		"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		if err := compiler.AddResource(site+name, decode(t, read(t, filepath.Join(dir, "schema", file)))); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(site + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func decode(t *testing.T, text []byte) any {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, text)
	}
	return string(text)
}
