package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/integration/testbed"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// javaProgram is twenty classes with what makes a compiler work: generics, lambdas,
// records, sealed and nested types, switches over strings, and constants that are
// folded.
func javaProgram() map[string]string {
	files := map[string]string{
		".dockerignore": "Dockerfile*\n",
		"app/Main.java": `package app;

import java.util.*;
import java.util.stream.*;
import app.shape.*;

public class Main {
    static final double TINY = 1.0 / 3 * 1e-300, RATIO = 0.1 + 0.2;
    static final float THIRD = 1f / 3;
    static final String TEXT = "ratio " + RATIO + " " + THIRD + " " + TINY + " \u00fc";

    static String name(Shape s) {
        return switch (s.getClass().getSimpleName()) {
            case "Circle" -> "round";
            case "Square" -> "cornered";
            default -> throw new IllegalStateException(s + "");
        };
    }

    public static void main(String[] args) {
        List<Shape> shapes = List.of(new Circle(2), new Square(3));
        System.out.println(TEXT + shapes.stream().collect(Collectors.groupingBy(Main::name, TreeMap::new, Collectors.summingDouble(Shape::area))));
        System.out.println(IntStream.range(0, app.part.Part15.COUNT).mapToObj(i -> "p" + i).collect(Collectors.joining(",")));
    }
}
`,
		"app/shape/Shape.java":  "package app.shape;\n\npublic sealed interface Shape permits Circle, Square {\n    double area();\n\n    enum Kind { FLAT, SOLID { @Override boolean deep() { return true; } }; boolean deep() { return false; } }\n}\n",
		"app/shape/Circle.java": "package app.shape;\n\npublic record Circle(double radius) implements Shape {\n    public double area() { return Math.PI * radius * radius; }\n}\n",
		"app/shape/Square.java": "package app.shape;\n\npublic record Square(double side) implements Shape {\n    public double area() { return side * side; }\n}\n",
	}
	for i := range 16 {
		files[fmt.Sprintf("app/part/Part%d.java", i)] = fmt.Sprintf(`package app.part;

import java.util.*;
import java.util.function.*;

@Deprecated(since = "%[1]d")
public class Part%[1]d<T extends Comparable<T>> implements Iterable<T> {
    public static final int COUNT = %[1]d * 31 + 7;
    private final Map<String, List<? super T>> known = new HashMap<>();
    private final List<T> all = new ArrayList<>();

    public <R> Optional<R> best(Function<? super T, ? extends R> by) {
        return all.stream().max(Comparator.naturalOrder()).map(by);
    }

    @Override public Iterator<T> iterator() {
        return new Iterator<>() {
            int at;
            @Override public boolean hasNext() { return at < all.size(); }
            @Override public T next() { return all.get(at++); }
        };
    }

    public long hash(String text) {
        long sum = 0x%[1]dL << 40;
        try { for (char c : text.toCharArray()) sum = sum * 31 + (c ^ COUNT); }
        finally { known.clear(); }
        return sum;
    }
}
`, i)
	}
	return files
}

// javaDockerfile makes an archive that is the same every time.
const javaDockerfile = `FROM eclipse-temurin:17 AS build
WORKDIR /src
COPY . .
RUN mkdir -p /out && find app -name '*.java' | sort > /out/sources && \
  javac -g -parameters -d /out/classes @/out/sources
RUN jar --create --date=2026-01-01T00:00:00Z --file /out/app.jar --main-class app.Main -C /out/classes .

FROM scratch
COPY --from=build /out /out
`

// javaLab has the image with a JDK.
func javaLab(t *testing.T, files map[string]string, dockerfile string) *assistLab {
	t.Helper()
	if testing.Short() {
		t.Skip("making an image with a JDK takes a while: run without -short")
	}
	lab := newAssistLab(t, files, dockerfile) // or skips
	_, err := testbed.Prepare(t.Context(), testbed.Options{Images: []string{testbed.Java}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

// TestAssistJava compiles and packs a program for arm64 plainly and with native
// tools, and compares every file, and the layers.
func TestAssistJava(t *testing.T) {
	t.Parallel()
	lab := javaLab(t, javaProgram(), javaDockerfile)
	build := func(how string) (layers []ocispec.Descriptor, layout, said string) {
		started := time.Now()
		layout = filepath.Join(t.TempDir(), "layout")
		res := mabuild(t, "--platform", "linux/arm64", "--assist="+how, "--target", "build", "--progress=plain", "-t", "j",
			"-o", "type=oci,tar=false,dest="+layout, lab.dir)
		layers = layersOf(t, layout)
		t.Logf("--assist=%s: %.1f s in all; commands took %s", how, time.Since(started).Seconds(), strings.Join(took(res.stderr), " and "))
		return layers, layout, res.stderr
	}
	assisted, assistedDir, said := build("java")
	if want := "L4, L6 native tools of recipe java"; !strings.Contains(said, want) {
		t.Errorf("%q is not said:\n%s", want, said)
	}
	if strings.Contains(said, "source=/usr/lib") {
		t.Errorf("progress shows the mounts:\n%s", said)
	}
	plain, plainDir, _ := build("off")
	if len(plain) != len(assisted) || len(plain) < 6 {
		t.Fatalf("the images have %d and %d layers", len(plain), len(assisted))
	}
	for i := range plain {
		if plain[i].Digest == assisted[i].Digest {
			continue // a base's
		}
		a, b := unpacked(t, plainDir, plain[i]), unpacked(t, assistedDir, assisted[i])
		differences, err := assist.CompareTars(bytes.NewReader(a), bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		// A mountpoint that was left, and a directory that was touched, would be among them.
		for _, difference := range differences {
			t.Errorf("layer %d: %s", i, difference)
		}
	}
	proved := mabuild(t, "assist", "prove", "--assist=java", "--platform", "linux/arm64", "--progress=plain", lab.dir)
	if !strings.Contains(proved.stderr, "Every file is the same") {
		t.Errorf("it is not proved:\n%s", proved.stderr)
	}
}

var (
	stepName = regexp.MustCompile(`(?m)^(\S+) (?:\S+ )?\[[^\]]*\] RUN `)
	stepDone = regexp.MustCompile(`(?m)^(#\d+) DONE ([0-9.]+s)`)
)

// took returns how long commands took, as progress says it.
func took(progress string) []string {
	var times []string
	for _, step := range stepName.FindAllStringSubmatch(progress, -1) {
		for _, done := range stepDone.FindAllStringSubmatch(progress, -1) {
			if done[1] == step[1] {
				times = append(times, done[2])
			}
		}
	}
	return times
}

// layersOf reads the layers of the only image in an OCI layout.
func layersOf(t *testing.T, layout string) []ocispec.Descriptor {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var found struct {
			Manifests, Layers []ocispec.Descriptor
		}
		if err := json.Unmarshal(body, &found); err != nil {
			t.Fatal(err)
		}
		if len(found.Manifests) == 0 {
			return found.Layers
		}
		body = blob(t, layout, found.Manifests[0].Digest)
	}
	t.Fatal("the layout has no image")
	return nil
}

func blob(t *testing.T, layout string, d digest.Digest) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(layout, "blobs", "sha256", d.Encoded()))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func unpacked(t *testing.T, layout string, layer ocispec.Descriptor) []byte {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(blob(t, layout, layer.Digest)))
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(packed); err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

// TestAssistJavaRefuses has commands that are not only compilers, and one that
// fails, which keeps its line.
func TestAssistJavaRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ command, want string }{
		{"javac -d /out Bad.java", ""},
		{"$JAVA_HOME/bin/javac -d /out Bad.java", ""},
		{"find . -name '*.java' -exec javac -d /out {} +", ""},
		{"mkdir /x", "does not use"},
		{"jlink --add-modules java.base --output /jre", "jlink depends on the machine"},
		{"javac Bad.java && jpackage --name x", "jpackage depends on the machine"},
		{"native-image Bad", "native-image depends on the machine"},
		{"javac Bad.java && java Bad", "what java does may depend on the machine"},
		{"javac Bad.java && jshell script", "what jshell does may depend on the machine"},
		{"javac Bad.java && make", "what make does may depend on the machine"},
		{"javac Bad.java && ./script.sh", "cannot be read in advance"},
		{"sh -c 'javac Bad.java; ./script.sh'", "cannot be read in advance"},
		{"jar cf x.jar -C /opt/java .", "which has the native tools in it"},
		{"cp -r $JAVA_HOME /jre && javac Bad.java", "Java's own directory"},
	}
	lab := javaLab(t, map[string]string{"Bad.java": "class Bad { int x = }\n"}, "")
	for _, test := range tests {
		lab.text = "FROM eclipse-temurin:17\nWORKDIR /src\nCOPY . .\nRUN \\\n  " + test.command + "\n"
		result := planJava(t, lab)
		step := result.Steps[0]
		if (step.Recipe == "java") != (test.want == "") || !strings.Contains(step.Reason, test.want) {
			t.Errorf("%s: recipe %q, %q, want %q", test.command, step.Recipe, step.Reason, test.want)
		}
	}
	dir := project(t, map[string]string{"Bad.java": "class Bad { int x = }\n", "Dockerfile": "FROM eclipse-temurin:17\nWORKDIR /src\nCOPY . .\nRUN \\\n  # a comment\n  javac -d /out Bad.java\n"})
	failed := fails(t, command(t, "--assist=java", "--platform", "linux/arm64", "--progress=plain", dir), 1, "Bad.java:1: error: illegal start of expression", "Dockerfile:4")
	if strings.Contains(failed.stderr, "mabuild-assist-java,source") {
		t.Errorf("the error shows the mounts:\n%s", failed.stderr)
	}
}

// planJava decides.
func planJava(t *testing.T, l *assistLab) *assist.Result {
	t.Helper()
	native := platforms.DefaultSpec()
	resolver := bases.New(bases.Options{Registry: l.registry, Dir: t.TempDir()})
	plan, err := exact.Plan(t.Context(), exact.Options{
		Dockerfile: []byte(l.text), Platforms: []ocispec.Platform{{OS: "linux", Architecture: "arm64"}}, BuildPlatform: native,
		Context: l.dir, DockerfileDir: l.dir, Resolver: resolver,
	})
	if err != nil {
		t.Fatal(err)
	}
	result, err := assist.Plan(t.Context(), plan, assist.Options{
		Dockerfile: []byte(l.text), Resolver: resolver, Content: l.registry, Context: l.dir,
		Cache: proofs(), Recipes: []assist.Recipe{assist.Java{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}
