package action_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/ci/action"
)

// runner is the environment of a step, as a runner sets it.
func runner(inputs ...string) []string {
	environ := []string{
		"GITHUB_ACTIONS=true", "GITHUB_REPOSITORY=octo/shop", "GITHUB_SERVER_URL=https://github.com", "GITHUB_REF=refs/heads/main", "GITHUB_SHA=0123abc",
		"GITHUB_RUN_ID=42", "GITHUB_RUN_ATTEMPT=2", "INPUT_PULL=false", "INPUT_TARGET=", "INPUT_PROVENANCE=false", "HOME=/root",
	}
	for i := 0; i < len(inputs); i += 2 {
		environ = append(environ, "INPUT_"+strings.ToUpper(strings.ReplaceAll(inputs[i], " ", "_"))+"="+inputs[i+1])
	}
	return environ
}

const unattested = "--attest type=provenance,disabled=true"

func TestArgs(t *testing.T) {
	for _, test := range []struct {
		inputs []string
		want   string // without the attestation that all have
	}{
		{nil, "https://github.com/octo/shop.git#0123abc"},
		{[]string{"context", "."}, "."},
		{[]string{"context", "{{defaultContext}}:app"}, "https://github.com/octo/shop.git#0123abc:app"},
		{[]string{"context", "{{ defaultContext }}", "build-contexts", "base={{defaultContext}}:base\nalpine=docker-image://alpine:3"}, "--build-context base=https://github.com/octo/shop.git#0123abc:base --build-context alpine=docker-image://alpine:3 https://github.com/octo/shop.git#0123abc"},
		{[]string{"context", ".", "platforms", "linux/amd64,linux/arm64\n linux/arm/v7 \n"}, "--platform linux/amd64,linux/arm64,linux/arm/v7 ."},
		{[]string{"context", ".", "tags", "a:1, b:2\n\nc:3"}, "--tag a:1 --tag b:2 --tag c:3 ."},
		{[]string{"context", ".", "labels", "a=1,2\n\"b=x, y\"\nc=\"q\""}, "--label a=1,2 --label b=x, y --label c=\"q\" ."},
		{[]string{"context", ".", "outputs", "type=image,\"name=a,b\",push=true\ntype=local,dest=out"}, "--output type=image,\"name=a,b\",push=true --output type=local,dest=out ."},
		{[]string{"context", ".", "build-args", "A=1\n\"B=first\nsecond\""}, "--build-arg A=1 --build-arg B=first\nsecond ."},
		{[]string{"context", ".", "push", "true", "load", "TRUE", "no-cache", "True", "pull", "false"}, "--load --no-cache --push ."},
		{[]string{"context", ".", "file", "app/Dockerfile", "target", "run", "network", "none", "shm-size", "64m", "cgroup-parent", "c", "call", "check"}, "--call check --cgroup-parent c --file app/Dockerfile --network none --shm-size 64m --target run ."},
		{[]string{"context", ".", "allow", "network.host,security.insecure", "add-hosts", "a:1.2.3.4", "ulimit", "nofile=1:2", "ssh", "default"}, "--add-host a:1.2.3.4 --allow network.host --allow security.insecure --ssh default --ulimit nofile=1:2 ."},
		{[]string{"context", ".", "cache-from", "type=gha,scope=x", "cache-to", "type=gha,mode=max", "no-cache-filters", "a,b", "annotations", "index:a=b,c"}, "--annotation index:a=b,c --cache-from type=gha,scope=x --cache-to type=gha,mode=max --no-cache-filter a --no-cache-filter b ."},
		{[]string{"context", ".", "builder", "tcp://builder:1234"}, "--node tcp://builder:1234 ."},
		{[]string{"context", ".", "keep-going", "true", "jobs", "2", "assist", "off", "pin-native", "build:go", "allow-missing", "linux/s390x"}, "--allow-missing linux/s390x --assist off --jobs 2 --keep-going --pin-native build:go ."},
	} {
		t.Run(strings.Join(test.inputs, " "), func(t *testing.T) {
			in, err := action.Read(action.Options{Environ: runner(test.inputs...)})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(strings.Join(in.Args, " "), unattested+" ", "")
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if len(in.Warnings) > 0 || in.Args[len(in.Args)-1] != in.Context {
				t.Errorf("warnings %v, context %q", in.Warnings, in.Context)
			}
		})
	}
}

// TestBuildPushAction: the inputs of docker/build-push-action are all there.
func TestBuildPushAction(t *testing.T) {
	theirs := strings.Fields(`add-hosts allow annotations attests build-args build-contexts builder cache-from cache-to call cgroup-parent context file labels load network
		no-cache no-cache-filters outputs platforms provenance pull push sbom secrets secret-envs secret-files shm-size ssh tags target ulimit github-token`)
	if len(theirs) != 33 {
		t.Fatalf("there are %d", len(theirs))
	}
	names := action.Names()
	for _, name := range theirs {
		if !slices.Contains(names, name) {
			t.Errorf("%s is missing", name)
		}
	}
	if duplicate := slices.Compact(slices.Clone(names)); len(duplicate) != len(names) {
		t.Errorf("a name is there twice: %v", names)
	}
}

func TestUnknown(t *testing.T) {
	for name, want := range map[string]string{
		"platform":    "did you mean platforms, which is the flag --platform?",
		"tag":         "did you mean tags, which is the flag --tag?",
		"build-arg":   "did you mean build-args, which is the flag --build-arg?",
		"cahce-from":  "did you mean cache-from, which is the flag --cache-from?",
		"output":      "did you mean outputs, which is the flag --output?",
		"shards":      "did you mean shard, which is the flag --shard?",
		"dockerfile":  "did you mean file, which is the flag --file?",
		"secret-env":  "did you mean secret-envs, which is the flag --secret?",
		"frobnicate":  "",
		"retry-emul":  "",
		"x\n::error:": "",
	} {
		in, err := action.Read(action.Options{Environ: runner("context", ".", name, "v")})
		if err != nil || len(in.Warnings) != 1 {
			t.Errorf("%q: %v, %v", name, in, err)
			continue
		}
		got := in.Warnings[0].Message
		if _, hint, _ := strings.Cut(got, "; "); hint != want || strings.Contains(got, "\n") {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if in, err := action.Read(action.Options{Environ: runner("context", ".", "builder", "setup-buildx-1")}); err != nil || len(in.Warnings) != 1 || slices.Contains(in.Args, "--node") {
		t.Errorf("a builder of buildx: %+v, %v", in, err)
	}
}

func TestErrors(t *testing.T) {
	for want, inputs := range map[string][]string{
		`reading the input push: "yes" is neither true nor false; write one of them`: {"context", ".", "push", "yes"},
		`reading the input load: "1" is neither true nor false; write one of them`:   {"context", ".", "load", "1"},
	} {
		if _, err := action.Read(action.Options{Environ: runner(inputs...)}); fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err := action.Read(action.Options{Environ: []string{"INPUT_PLATFORMS=linux/amd64"}})
	if err == nil || !strings.HasSuffix(err.Error(), "write context: . for the directory") {
		t.Errorf("without a context: %v", err)
	}
}

func TestSecrets(t *testing.T) {
	in, err := action.Read(action.Options{Environ: append(runner(
		"github-token", "ghs_token", "secrets", "id=pass,word\n\"KEY=-----BEGIN-----\nsay \"\"hi\"\"\n-----END-----\"\nnonsense\n=x", "secret-envs", "npm=NPM_TOKEN,none=UNSET", "secret-files", "conf=a dir/file,1",
	), "NPM_TOKEN=npm_secret")})
	if err != nil {
		t.Fatal(err)
	}
	const key = "-----BEGIN-----\nsay \"hi\"\n-----END-----"
	want := []string{
		"--attest", "type=provenance,disabled=true",
		"--secret", "id=id,env=MABUILD_SECRET_1", "--secret", "id=KEY,env=MABUILD_SECRET_2",
		"--secret", "id=npm,env=NPM_TOKEN", "--secret", "id=none,env=UNSET", "--secret", `id=conf,"src=a dir/file,1"`,
		"--secret", "id=GIT_AUTH_TOKEN.github.com,env=MABUILD_SECRET_3", "https://github.com/octo/shop.git#0123abc",
	}
	if diff := cmp.Diff(want, in.Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"MABUILD_SECRET_1=pass,word", "MABUILD_SECRET_2=" + key, "MABUILD_SECRET_3=ghs_token"}, in.Env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	for _, secret := range []string{"pass,word", key, "npm_secret", "ghs_token"} {
		if !slices.Contains(in.Secrets, secret) {
			t.Errorf("%q is not to be hidden", secret)
		}
	}
	if diff := cmp.Diff([]string{"a dir/file,1"}, in.SecretFiles); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if len(in.Warnings) != 2 || strings.Contains(fmt.Sprint(in.Warnings), "nonsense") {
		t.Errorf("warnings: %v", in.Warnings)
	}
}

// TestToken: the token is for the commit of the workflow alone, and the user's goes
// before it.
func TestToken(t *testing.T) {
	for name, inputs := range map[string][]string{
		"a directory":       {"context", "."},
		"another":           {"context", "https://github.com/other/repo.git"},
		"given":             {"secrets", "GIT_AUTH_TOKEN=mine"},
		"given for a host":  {"secrets", "GIT_AUTH_TOKEN.github.com=mine"},
		"given in a file":   {"secret-files", "GIT_AUTH_TOKEN=token.txt"},
		"given by variable": {"secret-envs", "GIT_AUTH_TOKEN=HOME"},
	} {
		in, err := action.Read(action.Options{Environ: runner(append(inputs, "github-token", "ghs_token")...)})
		if err != nil || slices.Contains(in.Env, "MABUILD_SECRET_1=ghs_token") || slices.Contains(in.Env, "MABUILD_SECRET_2=ghs_token") || !slices.Contains(in.Secrets, "ghs_token") {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
}

func TestCaller(t *testing.T) {
	in, err := action.Read(action.Options{Environ: runner("context", ".", "report", "x.html", "summary", "false", "join", "")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"report": "x.html", "summary": "false"}, in.Caller); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFile(t *testing.T) {
	for _, test := range []struct{ context, file, want string }{
		{"", "", "Dockerfile"},
		{"", "app/x.Dockerfile", "app/x.Dockerfile"},
		{"{{defaultContext}}:app", "", "app/Dockerfile"},
		{"{{defaultContext}}:app", "x", "app/x"},
		{".", "", "Dockerfile"},
		{"./app", "", "app/Dockerfile"},
		{"app", "docker/Dockerfile", "docker/Dockerfile"},
		{"https://example.com/other.git", "", ""},
	} {
		in, err := action.Read(action.Options{Environ: runner("context", test.context, "file", test.file)})
		if err != nil || in.File != test.want {
			t.Errorf("%q and %q: %+v, %v", test.context, test.file, in, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("secrets", "a=\"b\nc")
	f.Add("tags", "\"")
	f.Add("attests", "type=\"provenance,\n")
	f.Add("provenance", "mode=\"max")
	f.Add("context", "{{defaultContext}}:\x00")
	f.Fuzz(func(t *testing.T, name, value string) {
		in, err := action.Read(action.Options{Environ: runner(name, value), Event: []byte(value)})
		if err == nil && (len(in.Args) == 0 || in.Args[len(in.Args)-1] != in.Context) {
			t.Errorf("%q", in.Args)
		}
	})
}
