package assist_test

import (
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner/assist"
)

// Parts of a line say what it got.
const (
	nativeCommand  = "source=/usr/local/go/bin/go,target=/usr/local/go/bin/go"
	nativeTools    = "source=/usr/local/go/pkg/tool/linux_amd64,target=/usr/local/go/pkg/tool/linux_arm64"
	nativeToolTree = "source=/usr/local/go/pkg/tool,target=/usr/local/go/pkg/tool"
	targetSettings = "type=secret,id=mabuild-assist-go-"
)

// editOf is what the job for arm64 sends.
func editOf(t *testing.T, w *world, dockerfile string) assist.Edit {
	t.Helper()
	_, result := planOf(t, w, dockerfile, "linux/arm64", nil)
	edit, err := result.Apply("linux/arm64")
	if err != nil {
		t.Fatal(err)
	}
	return edit
}

// TestGoModules gives a command that only fetches modules the native go command, and
// nothing else; one that cannot start without a loader is left alone, and the tools
// are used nevertheless.
func TestGoModules(t *testing.T) {
	const dockerfile = "FROM golang:1.26\nRUN go mod download\nRUN cd /src && go mod download && go mod verify\nRUN go mod download && go build\n"
	const command, tools = "source=/usr/local/go/bin/go,target=/usr/local/go/bin/go", "source=/usr/local/go/pkg/tool/linux_amd64"
	for name, static := range map[string]bool{"static": true, "dynamic": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			native := goVariant("amd64", "1.26.8")
			if !static {
				native.layers = append(native.layers, layer{"usr/local/go/bin/go": program(machines["amd64"], "/lib64/ld-linux-x86-64.so.2")})
			}
			w.image(t, "golang:1.26", native, goVariant("arm64", "1.26.8"))
			_, result := planOf(t, w, dockerfile, "linux/amd64,linux/arm64", nil)
			edit, err := result.Apply("linux/arm64")
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(edit.Text), "\n")
			for i, want := range []string{command, command, tools} {
				if got := strings.Contains(lines[i+1], want); got != (static || want == tools) || strings.Count(lines[i+1], "--mount") > 1 {
					t.Errorf("line %d is %q", i+2, lines[i+1])
				}
			}
			if reason := result.Steps[0].Reason; !static && !strings.Contains(reason, "needs a loader") {
				t.Errorf("reason %q", reason)
			}
		})
	}
}

// TestGoCommand lists commands and whether the go command itself is native in them:
// only if nothing that it does can depend on its own platform.
func TestGoCommand(t *testing.T) {
	const (
		whole   = "builds"
		fetches = "modules"
		tools   = "tools"
	)
	for command, want := range map[string]string{
		"CGO_ENABLED=0 go build -o /out/app .":                                                    whole,
		"CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags='-s -w -X main.v=1' ./cmd/...":      whole,
		"mkdir -p /out && go mod download && CGO_ENABLED=0 go build -o /out ./a ./b":              whole,
		`CGO_ENABLED=0 go build -ldflags "-X main.commit=$(git rev-parse HEAD)" -o app ./cmd/app`: whole,
		"CGO_ENABLED=0 GOFLAGS=-mod=vendor go build":                                              whole,
		"CGO_ENABLED=0 GOARCH=$TARGETARCH go build":                                               whole,
		"if [ -n \"$X\" ]; then CGO_ENABLED=0 go build -tags x; else CGO_ENABLED=0 go build; fi":  whole,
		"go mod download": fetches,
		"go mod verify && cd /src && go mod download -x": fetches,

		"go build .":                                                tools, // cgo, if there is a compiler
		"CGO_ENABLED=1 go build .":                                  tools,
		"export CGO_ENABLED=0; go build .":                          tools, // it may be in a branch
		"env CGO_ENABLED=0 go build .":                              tools,
		"CGO_ENABLED=0 go build -race .":                            tools,
		"CGO_ENABLED=0 go build -buildmode=plugin .":                tools,
		"CGO_ENABLED=0 go build -ldflags='-linkmode external' .":    tools,
		"CGO_ENABLED=0 GOFLAGS=-race go build .":                    tools,
		"CGO_ENABLED=0 go build $FLAGS .":                           tools,
		"CGO_ENABLED=0 go build cmd/vet":                            tools,
		"CGO_ENABLED=0 go build . && go test ./...":                 tools,
		"CGO_ENABLED=0 go build . && go env GOHOSTARCH":             tools,
		"CGO_ENABLED=0 go install ./...":                            tools, // into another directory, when it crosses
		"CGO_ENABLED=0 go build . && ./app":                         tools,
		"CGO_ENABLED=0 go build . && make":                          tools,
		"CGO_ENABLED=0 go build . && unheard-of":                    tools,
		"CGO_ENABLED=0 go build . && which go":                      tools,
		"CGO_ENABLED=0 go build . && cat /usr/local/go/go.env":      tools,
		"CGO_ENABLED=0 go build . && cp /usr/local/go/bin/go /out/": tools,
		"CGO_ENABLED=0 /usr/local/go/bin/go build .":                tools,
		"export GOARCH=arm; CGO_ENABLED=0 go build .":               tools,
		"PATH=/x:$PATH; CGO_ENABLED=0 go build .":                   tools,
	} {
		t.Run(command, func(t *testing.T) {
			edit := editOf(t, usual(t), "FROM golang:1.26\nRUN "+command+"\n")
			line := strings.Split(string(edit.Text), "\n")[1]
			got := "nothing"
			switch has := func(text string) bool { return strings.Contains(line, text) }; {
			case has(nativeCommand) && has(nativeToolTree) && has(targetSettings) && !has(nativeTools):
				got = whole
			case has(nativeCommand) && !has("pkg/tool") && !has(targetSettings):
				got = fetches
			case has(nativeTools) && !has(nativeCommand) && !has(targetSettings):
				got = tools
			}
			if got != want {
				t.Errorf("it gets %s, not %s: %s", got, want, line)
			}
			if name := assist.StepName(line); name != "RUN "+command {
				t.Errorf("the name of the step is %q", name)
			}
		})
	}
}

// TestGoCommandBefore has commands before a build. After some of them nobody knows
// what the go command is.
func TestGoCommandBefore(t *testing.T) {
	for before, want := range map[string]bool{
		"RUN apt-get update && apt-get install -y git": true,
		"RUN go install ./tools/... && mkdir /out":     true,
		"ENV GOFLAGS=-mod=mod\nRUN go mod download":    true,
		"COPY . .":                                     true,
		"RUN ./setup.sh":                               false,
		"RUN make tools":                               false,
		"RUN go generate ./...":                        true,
		"RUN curl https://x/y | sh":                    false,
		"RUN python3 -m pip install":                   false,
		"RUN echo GOPROXY=off >> /usr/local/go/go.env": false,
		"RUN sed -i s/x/y/ /usr/local/go/go.env":       false,
	} {
		t.Run(before, func(t *testing.T) {
			edit := editOf(t, usual(t), "FROM golang:1.26\n"+before+"\nRUN CGO_ENABLED=0 go build\n")
			lines := strings.Split(strings.TrimSpace(string(edit.Text)), "\n")
			last := lines[len(lines)-1]
			if got := strings.Contains(last, nativeCommand); got != want || strings.Contains(last, nativeTools) == want {
				t.Errorf("it gets %s", last)
			}
		})
	}
}

// TestGoSettings looks at the file that tells a native go command the platform: that
// of the image with one line more. Its name is another one when its content is.
func TestGoSettings(t *testing.T) {
	const dockerfile = "FROM golang:1.26\nENV CGO_ENABLED=0\nRUN go build\n"
	cache := t.TempDir()
	names := make(map[string]string)
	for _, platform := range []string{"linux/arm64", "linux/s390x", "linux/arm64"} { // the last from the cache
		_, result := planOf(t, usual(t), dockerfile, platform, func(o *assist.Options) { o.Cache = cache })
		edit, err := result.Apply(platform)
		if err != nil {
			t.Fatal(err)
		}
		if len(edit.Secrets) != 1 {
			t.Fatalf("%s has %d files in %s", platform, len(edit.Secrets), edit.Text)
		}
		for id, content := range edit.Secrets {
			if want := "GOPROXY=direct\nGOTOOLCHAIN=local\n\nGOARCH=" + strings.TrimPrefix(platform, "linux/") + "\n"; string(content) != want {
				t.Errorf("%s has %q", platform, content)
			}
			if !strings.Contains(string(edit.Text), "type=secret,id="+id+",target=/usr/local/go/go.env,mode=0444,required=true") {
				t.Errorf("no mount of %s: %s", id, edit.Text)
			}
			names[id] = platform
		}
	}
	if len(names) != 2 {
		t.Errorf("names %v", names)
	}
}

// TestGoCommandUnfit has images whose go commands are not the same but for their
// platform: the tools are native nevertheless.
func TestGoCommandUnfit(t *testing.T) {
	const dockerfile = "FROM golang:1.26\nRUN CGO_ENABLED=0 go build\n"
	for name, change := range map[string]func(native, target *variant){
		"no go.env":      func(_, target *variant) { delete(target.layers[1], "usr/local/go/go.env") },
		"go.env chooses": func(_, target *variant) { target.layers[1]["usr/local/go/go.env"] = "GOOS=js\n" },
		"other default":  func(native, _ *variant) { native.layers[1][defaults] += "const DefaultGOARM64 = `v9.0`\n" },
		"dynamic": func(native, _ *variant) {
			native.layers[1]["usr/local/go/bin/go"] = program(machines["amd64"], "/lib64/ld-linux-x86-64.so.2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, native, target := newWorld(), goVariant("amd64", "1.26.8"), goVariant("arm64", "1.26.8")
			change(&native, &target)
			w.image(t, "golang:1.26", native, target)
			edit := editOf(t, w, dockerfile)
			if text := string(edit.Text); !strings.Contains(text, nativeTools) || strings.Contains(text, nativeCommand) || len(edit.Secrets) > 0 {
				t.Errorf("it gets %q", text)
			}
		})
	}
}
