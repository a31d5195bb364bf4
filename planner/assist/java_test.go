package assist_test

import (
	"debug/elf"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner/assist"
)

// javaVariant is a JDK on Debian's layout.
func javaVariant(architecture, home, triplet, loader string) variant {
	java := program(machines[architecture], loader)
	at := strings.TrimPrefix(home, "/")
	return variant{
		platform: "linux/" + architecture,
		env:      []string{"PATH=/bin", "JAVA_HOME=" + home, "JAVA_VERSION=jdk-21.0.4+7"},
		layers: []layer{
			{"usr/lib/" + triplet + "/ld-linux-x86-64.so.2": "loader", "usr/lib/" + triplet + "/libc.so.6": "libc"},
			{at + "/release": "JAVA_VERSION=\"21.0.4\"\nOS_ARCH=\"" + architecture + "\"\nIMPLEMENTOR=\"x\"\n", at + "/bin/java": java, at + "/bin/javac": java},
		},
	}
}

// TestJava is the recipe that is off by default.
func TestJava(t *testing.T) {
	amd64 := javaVariant("amd64", "/opt/java/openjdk", "x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2")
	arm64 := javaVariant("arm64", "/opt/java/openjdk", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1")
	w := newWorld()
	w.image(t, "temurin", amd64, arm64)
	w.image(t, "debianjdk", amd64, javaVariant("arm64", "/usr/lib/jvm/java-21-openjdk-arm64", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"))
	w.image(t, "musl", javaVariant("amd64", "/opt/java/openjdk", "x", "/lib/ld-musl-x86_64.so.1"), arm64)
	w.image(t, "other", amd64.with(func(v *variant) {
		v.layers = append(v.layers, layer{"opt/java/openjdk/release": "JAVA_VERSION=\"21.0.5\"\n"})
	}), arm64)
	w.image(t, "fake", amd64.with(func(v *variant) {
		v.layers = append(v.layers, layer{"opt/java/openjdk/bin/javac": program(elf.EM_AARCH64, "")})
	}), arm64)
	tests := []struct{ text, want string }{
		{"FROM temurin\nRUN javac -d /out *.java && jar --create --file x.jar -C /out .\n", "java"},
		{"FROM temurin\nRUN ./mvnw -B package\n", "java"},
		{"FROM temurin\nRUN gradle build && mkdir /x\n", "java"},
		{"FROM debianjdk\nRUN javac *.java\n", "java"},
		{"FROM temurin\nRUN mkdir /x\n", "does not use"},
		{"FROM temurin\nRUN jlink --output /jre\n", "jlink depends on the machine"},
		{"FROM temurin\nRUN mvn package && jlink --output /jre\n", "jlink depends on the machine"},
		{"FROM temurin\nRUN mvn -Pnative package\n", "depends on the machine"},
		{"FROM temurin\nRUN javac X.java && java X\n", "java depends on the machine"},
		{"FROM temurin\nRUN mvn package && ./test.sh\n", "cannot be read"},
		{"FROM temurin\nRUN cp -r $JAVA_HOME /jre && jar x\n", "Java's own directory"},
		{"FROM temurin\nRUN apt-get install -y maven && mvn package\n", "installs packages"},
		{"FROM temurin\nENV JAVA_HOME=/x\nRUN mvn package\n", "JAVA_HOME is set"},
		{"FROM temurin\nENV LD_PRELOAD=/x.so\nRUN mvn package\n", "LD_PRELOAD is set"},
		{"FROM musl\nRUN mvn package\n", "has no /usr/lib/x86_64-linux-gnu"},
		{"FROM other\nRUN mvn package\n", "release differs"},
		{"FROM fake\nRUN mvn package\n", "checking bin/javac for linux/amd64: it is a program for EM_AARCH64"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			_, result := planOf(t, w, test.text, "linux/arm64", func(o *assist.Options) { o.Recipes = []assist.Recipe{assist.Go{}, assist.Java{}} })
			got := result.Steps[0]
			if test.want == "java" && got.Recipe != "java" || test.want != "java" && (got.Recipe != "" || !strings.Contains(got.Reason, test.want)) {
				t.Errorf("got %swant %s", decisions(result), test.want)
			}
			edit, err := result.Apply("linux/arm64")
			if err != nil {
				t.Fatal(err)
			}
			const loader = "source=/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2,target=/lib64/ld-linux-x86-64.so.2 "
			if test.want == "java" && !strings.Contains(string(edit.Text), loader) {
				t.Errorf("the loader is not mounted:\n%s", edit.Text)
			}
		})
	}
	_, result := planOf(t, w, tests[0].text, "linux/arm64", nil)
	if result.Assisted() {
		t.Error("the recipe is on without having been asked for")
	}
}
