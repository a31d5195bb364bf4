package assist_test

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
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
	jdk := "opt/java/openjdk/"
	w.image(t, "extra", amd64, arm64.with(func(v *variant) { v.layers = append(v.layers, layer{jdk + "lib/ext/x.jar": "x"}) }))
	w.image(t, "lacking", amd64.with(func(v *variant) { v.layers = append(v.layers, layer{jdk + "conf/net.properties": "x"}) }), arm64)
	w.image(t, "differing", amd64.with(func(v *variant) {
		v.layers = append(v.layers, layer{jdk + "lib/libjsvml.so": "x", jdk + "jmods/x.jmod": "x", jdk + "lib/server/classes_coh.jsa": "x"})
	}), arm64.with(func(v *variant) { v.layers = append(v.layers, layer{jdk + "legal/x/COPYRIGHT": "x"}) }))
	w.image(t, "linked", amd64.with(func(v *variant) { v.layers = append(v.layers, debianLinks("amd64")) }),
		arm64.with(func(v *variant) { v.layers = append(v.layers, debianLinks("arm64")) }))
	w.image(t, "shared", amd64.with(func(v *variant) { v.layers = append(v.layers, debianLinks("all")) }),
		arm64.with(func(v *variant) { v.layers = append(v.layers, debianLinks("all")) }))
	w.image(t, "agent", amd64.with(agent), arm64.with(agent))
	tests := []struct{ text, want string }{
		{"FROM temurin\nRUN javac -d /out *.java && jar --create --file x.jar -C /out .\n", "java"},
		{"FROM temurin\nRUN $JAVA_HOME/bin/javac X.java && /opt/java/openjdk/bin/jar cf x.jar X.class\n", "java"},
		{"FROM temurin\nRUN find . -name '*.java' | xargs -n 50 javac -d /out\n", "java"},
		{"FROM temurin\nRUN find . -name '*.java' -exec javac {} +\n", "java"},
		{"FROM temurin\nRUN ./mvnw -B package\n", "java"},
		{"FROM temurin\nRUN timeout 600 mvn package && cp target/x.jar /opt/\n", "java"},
		{"FROM temurin\nRUN gradle build && mkdir /x\n", "java"},
		{"FROM temurin\nRUN apt-get install -y maven\nRUN mvn package\n", "java"},
		{"FROM debianjdk\nRUN javac *.java\n", "java"},
		{"FROM differing\nRUN javac *.java\n", "java"},
		{"FROM shared\nRUN javac *.java\n", "java"},

		{"FROM temurin\nRUN mkdir /x\n", "does not use"},
		{"FROM temurin\nRUN jlink --output /jre\n", "jlink depends on the machine"},
		{"FROM temurin\nRUN mvn package && jlink --output /jre\n", "jlink depends on the machine"},
		{"FROM temurin\nRUN mvn -Pnative package\n", "depends on the machine"},
		{"FROM temurin\nRUN javac X.java && java X\n", "what java does may depend on the machine"},
		{"FROM temurin\nRUN javac X.java && javadoc X.java\n", "what javadoc does may depend on the machine"},
		{"FROM temurin\nRUN javac X.java && env A=b jshell x\n", "what jshell does may depend on the machine"},
		{"FROM temurin\nRUN javac X.java && make\n", "what make does may depend on the machine"},
		{"FROM temurin\nRUN find . -exec sh -c 'javac $0; ./x' {} +\n", "what sh does"},
		{"FROM temurin\nRUN sh -c 'javac X.java; ./x'\n", "cannot be read"},
		{"FROM temurin\nRUN mvn package && ./test.sh\n", "cannot be read"},
		{"FROM temurin\nRUN <<EOF\n#!/usr/bin/python3\nx()\nEOF\n", "cannot be read"},

		{"FROM temurin\nRUN cp -r $JAVA_HOME /jre && jar x\n", "Java's own directory"},
		{"FROM temurin\nRUN cp -r /opt /copy && jar x\n", "cp works on /opt"},
		{"FROM temurin\nRUN cp -r /o* /copy && jar x\n", "cp works on /o*"},
		{"FROM temurin\nRUN cd /opt && cp -r java /copy && jar x\n", "cp works on java"},
		{"FROM temurin\nWORKDIR /\nRUN tar cf x.tar opt && javac X.java\n", "tar works on opt"},
		{"FROM temurin\nRUN tar cf x.tar -C/ usr && javac X.java\n", "tar works on /, which"},
		{"FROM temurin\nRUN cp /usr/lib/x86_64-linux-gnu/libc.so.6 /x && javac X.java\n", "cp works on"},
		{"FROM temurin\nRUN jar cf x.jar -C /opt/java .\n", "jar works on /opt/java"},
		{"FROM temurin\nRUN keytool -importcert -cacerts -file x\nRUN mvn package\n", "may change Java's certificates"},
		{"FROM temurin\nRUN apt-get install -y maven && mvn package\n", "installs packages"},
		{"FROM debianjdk\nRUN apt-get install -y maven\nRUN mvn package\n", "installs packages, which may be Java's"},
		{"FROM temurin\nENV JAVA_HOME=/x\nRUN mvn package\n", "JAVA_HOME is set"},
		{"FROM temurin\nENV LD_PRELOAD=/x.so\nRUN mvn package\n", "LD_PRELOAD is set"},
		{"FROM temurin\nRUN JAVA_TOOL_OPTIONS=-XX:UseSVE=0 mvn package\n", "sets JAVA_TOOL_OPTIONS"},
		{"FROM temurin\nRUN env LD_PRELOAD=x mvn package\n", "sets LD_PRELOAD"},
		{"FROM agent\nRUN mvn package\n", "JAVA_TOOL_OPTIONS is set"},

		{"FROM musl\nRUN mvn package\n", "has no /usr/lib/x86_64-linux-gnu"},
		{"FROM other\nRUN mvn package\n", "release differs"},
		{"FROM fake\nRUN mvn package\n", "checking bin/javac for linux/amd64: it is a program for EM_AARCH64"},
		{"FROM extra\nRUN mvn package\n", "linux/amd64 has no /opt/java/openjdk/lib/ext"},
		{"FROM lacking\nRUN mvn package\n", "linux/arm64 has no /opt/java/openjdk/conf"},
		{"FROM linked\nRUN mvn package\n", "/opt/java/openjdk/lib/jvm.cfg leads to /etc/java-17-openjdk/jvm-amd64.cfg, but"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			_, result := planOf(t, w, test.text, "linux/arm64", func(o *assist.Options) { o.Recipes = []assist.Recipe{assist.Go{}, assist.Java{}} })
			got := result.Steps[len(result.Steps)-1]
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

func agent(v *variant) { v.env = append(v.env, "JAVA_TOOL_OPTIONS=-agentpath:/x.so") }

// debianLinks are those of Debian's JDK: settings are in /etc.
func debianLinks(architecture string) layer {
	const jdk = "opt/java/openjdk/"
	return layer{
		jdk + "lib/jvm.cfg -> /etc/java-17-openjdk/jvm-" + architecture + ".cfg":             "",
		jdk + "lib/libatk-wrapper.so -> ../../../" + architecture + "/jni/libatk-wrapper.so": "",
		jdk + "lib/inside -> ../bin/java":                                                    "",
	}
}

// TestJavaProject looks at what the files of a project say.
func TestJavaProject(t *testing.T) {
	w := newWorld()
	w.image(t, "temurin", javaVariant("amd64", "/opt/java/openjdk", "x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"),
		javaVariant("arm64", "/opt/java/openjdk", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"))
	tests := []struct{ name, text, reason, note string }{
		{"pom.xml", "<project/>", "", "must not choose by os.arch"},
		{"build.gradle.kts", "plugins { java }", "", "must not choose by os.arch"},
		{"README", "os.arch", "", "cannot be read in advance"},
		{"src/main/pom.xml", "os.arch", "", "cannot be read in advance"},
		{"a/b/c/d/e/f/pom.xml", "os.arch", "", "cannot be read in advance"},
		{"pom.xml", "<artifactId>os-maven-plugin</artifactId>", "pom.xml has os-maven-plugin, which may depend on the machine", ""},
		{"module/pom.xml", "<activation><os><arch>amd64</arch></os></activation>", "module/pom.xml has <arch>", ""},
		{"gradle/libs.versions.toml", `fx = "org.openjfx.javafxplugin:0.1"`, "gradle/libs.versions.toml has org.openjfx", ""},
		{"build.gradle", `plugins { id("org.beryx.jlink") }`, "build.gradle has jlink", ""},
		{"build.xml", `<exec executable="sh"/>`, "build.xml has <exec", ""},
	}
	for _, test := range tests {
		t.Run(test.name+" "+test.text, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, test.name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(test.text), 0o644)); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"mvn package", "javac X.java"} {
				_, result := planOf(t, w, "FROM temurin\nRUN "+command+"\n", "linux/arm64", func(o *assist.Options) {
					o.Recipes, o.Context = []assist.Recipe{assist.Java{}}, dir
				})
				reason, note := test.reason, test.note
				if command != "mvn package" {
					reason, note = "", "" // does what it is told on its command line
				}
				got := result.Steps[0]
				if (got.Reason == "") != (reason == "") || !strings.Contains(got.Reason, reason) || (got.Note == "") != (note == "") || !strings.Contains(got.Note, note) {
					t.Errorf("%s: got the reason %q and the note %q", command, got.Reason, got.Note)
				}
			}
		})
	}
}
