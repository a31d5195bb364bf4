package integration

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/contexts/contextstest"
	"github.com/mabuild/mabuild/integration/testbed"
	"github.com/mabuild/mabuild/planner"
)

const pair = "linux/amd64,linux/arm64"

// outputs builds for two platforms and returns the files of each, by path.
func outputs(t *testing.T, cmd *exec.Cmd) map[string]string {
	t.Helper()
	dir := t.TempDir()
	cmd.Args = append([]string{cmd.Args[0], "--platform", pair, "-o", dir}, cmd.Args[1:]...)
	if res := finish(t, cmd); res.code != 0 {
		t.Fatalf("%v: exit code %d\n%s", cmd.Args, res.code, res.stderr)
	}
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = strings.TrimSpace(string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestSecrets: secrets and agents reach the steps of every platform, and what is not
// given is told (case 44).
func TestSecrets(t *testing.T) {
	dir := project(t, map[string]string{
		"token": "from a file",
		"Dockerfile": "FROM busybox AS b\n" +
			"RUN --mount=type=secret,id=file --mount=type=secret,id=env,env=TOKEN --mount=type=ssh \\\n" +
			"  cat /run/secrets/file > /o && echo \" $TOKEN\" >> /o && { test -S \"$SSH_AUTH_SOCK\" && echo agent || echo none; } >> /o\n" +
			"FROM scratch\nCOPY --from=b /o /o\n",
	})
	socket := filepath.Join(t.TempDir(), "s")
	agent, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	cmd := command(t, "--secret", "id=file,src="+filepath.Join(dir, "token"), "--secret", "id=env,env=IT_TOKEN", "--ssh", "default="+socket, dir)
	cmd.Env = append(cmd.Env, "IT_TOKEN=from the environment")
	want := map[string]string{}
	for _, platform := range []string{"linux_amd64", "linux_arm64"} {
		want[platform+"/o"] = "from a file from the environment\nagent"
	}
	if diff := cmp.Diff(want, outputs(t, cmd)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	without := finish(t, command(t, "--platform", "linux/amd64", "-o", t.TempDir(), "--secret", "id=file,src="+filepath.Join(dir, "token"), dir))
	for _, part := range []string{"the secret env is not given", "--secret id=env,src=FILE", "the SSH agent default is not given"} {
		if without.code != 0 || !strings.Contains(without.stderr, part) {
			t.Errorf("exit code %d, no %q in:\n%s", without.code, part, without.stderr)
		}
	}
	fails(t, command(t, "--secret", "id=x,src="+filepath.Join(dir, "nothere"), dir), 2, "nothere")
}

// TestSandbox is what steps run in: hosts, network, limits.
func TestSandbox(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox AS b\n" +
		"RUN { grep build.example /etc/hosts; ulimit -n; df -k /dev/shm | tail -n 1 | awk '{print $2}'; tail -n +3 /proc/net/dev | wc -l; } > /o\n" +
		"FROM scratch\nCOPY --from=b /o /o\n"})
	got := outputs(t, command(t, "--add-host", "build.example:192.0.2.7", "--ulimit", "nofile=1000:2000", "--shm-size", "3m", "--network", "none", dir))
	for name, text := range got {
		lines := strings.Split(text, "\n")
		if len(lines) != 4 || !strings.HasPrefix(lines[0], "192.0.2.7") || lines[1] != "1000" || lines[2] != "3072" || lines[3] != "1" {
			t.Errorf("%s: %q", name, lines)
		}
	}
	if len(got) != 2 {
		t.Errorf("files %v", got)
	}
	outputs(t, command(t, "--network", "host", "--ulimit", "nofile=1000", "--add-host", "build.example=[::1]", dir))
	for _, flags := range [][]string{
		{"--network", "bridge"},
		{"--add-host", "build.example"},
		{"--add-host", "a:host-gateway"},
		{"--shm-size", "lots"},
		{"--ulimit", "nofile"},
		{"--cgroup-parent", "x"},
		{"--resource", "memory=1g"},
		{"--allow", "everything"},
		{"--allow", "buildx.local.delete"},
	} {
		fails(t, command(t, append(flags, dir)...), 2, strings.TrimPrefix(flags[0], "--"))
	}
}

// TestCorrelateAttrs holds plans with these options against builds.
func TestCorrelateAttrs(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox AS b\nARG V=none\nRUN echo $V > /o\nFROM b AS last\nRUN echo more >> /o\n"})
	mabuild(t, "engine", "du") // starts the engine
	correlate(t, recipe{
		dir: dir, platforms: pair,
		attrs: map[string]string{"add-hosts": "build.example=192.0.2.7", "ulimit": "nofile=1000:2000", "shm-size": "3145728", "force-network-mode": "none"},
		overrides: map[string]planner.Override{
			"linux/arm64": {Target: "b", Args: map[string]string{"V": "own"}},
		},
	})
}

// TestPerPlatform: arguments, labels and targets for single platforms.
func TestPerPlatform(t *testing.T) {
	dir := project(t, map[string]string{
		"args": "# of the file\nA=file\n\nB=file\nIT_FROM_ENV\n",
		"Dockerfile": "FROM busybox AS b\nARG A B C IT_FROM_ENV SOURCE_DATE_EPOCH HTTP_PROXY\n" +
			"RUN echo \"$A $B $C $IT_FROM_ENV $SOURCE_DATE_EPOCH $HTTP_PROXY\" > /o\nFROM scratch AS one\nCOPY --from=b /o /one\nFROM scratch\nCOPY --from=b /o /all\n",
	})
	docker := t.TempDir()
	if err := os.WriteFile(filepath.Join(docker, "config.json"), []byte(`{"proxies": {"default": {"httpProxy": "http://proxy.example:1"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{
		"--build-arg-file", filepath.Join(dir, "args"), "--build-arg", "A=flag", "--build-arg", "linux/arm64/v8:C=own", "--target", "linux/arm64:one",
		"--label", "l=all", "--label", "linux/amd64:l=own", "--label", "example.com/x:y=z",
	}
	cmd := command(t, append(flags, dir)...)
	cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=1700000000", "IT_FROM_ENV=env", "DOCKER_CONFIG="+docker)
	want := map[string]string{
		"linux_amd64/all": "flag file  env 1700000000 http://proxy.example:1", "linux_arm64/one": "flag file own env 1700000000 http://proxy.example:1",
	}
	if diff := cmp.Diff(want, outputs(t, cmd)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	store := registry(t, testbed.RegistryOptions{})
	mabuild(t, append(flags, "--platform", pair, "-t", store.Addr+"/labels:1", "--push", dir)...)
	for platform, own := range map[string]string{"linux/amd64": "own", "linux/arm64": "all"} {
		labels := configOf(t, store.Addr+"/labels:1", platform).Config.Labels
		if diff := cmp.Diff(map[string]string{"l": own, "example.com/x:y": "z"}, labels); diff != "" {
			t.Errorf("%s: labels (-want +got):\n%s", platform, diff)
		}
	}
	unused := finish(t, command(t, "--platform", "linux/amd64", "--build-arg", "linux/s390x:A=1", "-o", t.TempDir(), dir))
	if unused.code != 0 || !strings.Contains(unused.stderr, "linux/s390x") {
		t.Errorf("exit code %d, no word about linux/s390x:\n%s", unused.code, unused.stderr)
	}
}

// indexOf reads an index from its registry.
func indexOf(t *testing.T, ref string) ocispec.Index {
	t.Helper()
	var index ocispec.Index
	fetch(t, ref, "", &index)
	return index
}

// manifestOf reads one platform's manifest, or that of an image without an index.
func manifestOf(t *testing.T, ref, platform string) ocispec.Manifest {
	t.Helper()
	var manifest ocispec.Manifest
	for _, m := range indexOf(t, ref).Manifests {
		if m.Platform != nil && m.Platform.OS+"/"+m.Platform.Architecture == platform {
			fetch(t, ref, m.Digest.String(), &manifest)
			return manifest
		}
	}
	fetch(t, ref, "", &manifest)
	return manifest
}

func configOf(t *testing.T, ref, platform string) ocispec.Image {
	t.Helper()
	var config ocispec.Image
	blobOf(t, ref, manifestOf(t, ref, platform).Config, &config)
	return config
}

// fetch reads a manifest by the tag of ref, or by its digest.
func fetch(t *testing.T, ref, digest string, into any) {
	t.Helper()
	host, path, _ := strings.Cut(ref, "/")
	name, tag, _ := strings.Cut(path, ":")
	if digest != "" {
		tag = digest
	}
	get(t, "http://"+host+"/v2/"+name+"/manifests/"+tag, into)
}

func blobOf(t *testing.T, ref string, desc ocispec.Descriptor, into any) {
	t.Helper()
	host, path, _ := strings.Cut(ref, "/")
	name, _, _ := strings.Cut(path, ":")
	get(t, "http://"+host+"/v2/"+name+"/blobs/"+desc.Digest.String(), into)
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Accept"] = []string{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}

// TestStdin: a Dockerfile, or an archive with one, comes through standard input.
func TestStdin(t *testing.T) {
	dockerfile := "FROM --platform=$BUILDPLATFORM busybox AS b\nCOPY f /f\nARG TARGETARCH\nRUN echo $TARGETARCH $(stat -c %u /f) >> /f\nFROM scratch\nCOPY --from=b /f /f\n"
	dir := project(t, map[string]string{"f": "text", "sub/My.Dockerfile": dockerfile, ".dockerignore": "sub\n"})
	packed := filepath.Join(t.TempDir(), "c.tar")
	archive(t, packed, map[string]string{"f": "packed", "Dockerfile": dockerfile, "sub/My.Dockerfile": strings.ReplaceAll(dockerfile, "COPY f /f", "COPY sub/f /f"), "sub/f": "deep"})
	compressed, err := exec.CommandContext(t.Context(), "gzip", "-c", packed).Output()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	server := contextstest.New(t)
	if err := os.WriteFile(filepath.Join(server.Files, "remote.Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		input []byte
		flags []string
		want  string
	}{
		"Dockerfile":              {[]byte(dockerfile), []string{"-f", "-", dir}, "text"},
		"Dockerfile alone":        {[]byte("FROM scratch\nCOPY <<EOF /f\ninline\nEOF\n"), []string{"-"}, "inline"},
		"archive":                 {plain, []string{"-"}, "packed"},
		"compressed":              {compressed, []string{"-"}, "packed"},
		"Dockerfile in archive":   {plain, []string{"-f", "sub/My.Dockerfile", "-"}, "deep"},
		"local Dockerfile":        {plain, []string{"-f", filepath.Join(dir, "sub/My.Dockerfile"), "-"}, "packed"},
		"Dockerfile from the web": {nil, []string{"-f", server.URL + "/files/remote.Dockerfile", dir}, "text"},
		"both remote":             {plain, []string{"-f", server.URL + "/files/remote.Dockerfile", "-"}, "packed"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := command(t, test.flags...)
			cmd.Stdin = bytes.NewReader(test.input)
			got := outputs(t, cmd)
			for _, arch := range []string{"amd64", "arm64"} {
				want := test.want + arch + " 0"
				if test.want == "inline" {
					want = test.want
				}
				if text := strings.ReplaceAll(got["linux_"+arch+"/f"], "\n", ""); text != want {
					t.Errorf("%s: %q, want %q", arch, text, want)
				}
			}
		})
	}
	cmd := command(t, "plan", "--platform", pair, "-")
	cmd.Stdin = bytes.NewReader(plain)
	if res := finish(t, cmd); res.code != 0 || !strings.Contains(res.stdout, "busybox") {
		t.Errorf("exit code %d\n%s%s", res.code, res.stdout, res.stderr)
	}
	fails(t, command(t, "-f", "-", "-"), 2, "cannot be both")
	fails(t, command(t, "-"), 2, "is empty")
}

// TestRemoteContexts: the daemon fetches what the plan was made of, for every platform
// the same commit (case 43).
func TestRemoteContexts(t *testing.T) {
	server := contextstest.New(t)
	repository := server.Repository(t, "app")
	dockerfile := "FROM busybox AS b\nCOPY file /f\nRUN true\nFROM scratch\nCOPY --from=b /f /f\nCOPY --from=lib /lib /lib\n"
	commit := repository.Commit("main", map[string]string{"Dockerfile": dockerfile, "file": "1", "sub/web.Dockerfile": dockerfile, "sub/file": "2"})
	library := server.Repository(t, "lib")
	library.Commit("main", map[string]string{"lib": "lib"})
	archive(t, filepath.Join(server.Files, "app.tar"), map[string]string{"Dockerfile": dockerfile, "file": "3"})
	lib := []string{"--build-context", "lib=" + library.URL + "#main"}
	for name, test := range map[string]struct {
		flags []string
		want  string
	}{
		"branch":       {[]string{repository.URL}, "1"},
		"commit":       {[]string{repository.URL + "#" + commit}, "1"},
		"subdirectory": {[]string{"-f", "web.Dockerfile", repository.URL + "#main:sub"}, "2"},
		"path":         {[]string{"-f", "sub/web.Dockerfile", repository.URL}, "1"},
		"archive":      {[]string{server.URL + "/files/app.tar"}, "3"},
		"edited":       {[]string{"--pin-native", "b:plain", "-f", "sub/web.Dockerfile", repository.URL}, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := outputs(t, command(t, append(lib, test.flags...)...))
			want := map[string]string{"linux_amd64/f": test.want, "linux_arm64/f": test.want, "linux_amd64/lib": "lib", "linux_arm64/lib": "lib"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestLayoutContext: an image in a directory takes the place of one in a registry.
func TestLayoutContext(t *testing.T) {
	base := project(t, map[string]string{"Dockerfile": "FROM --platform=$BUILDPLATFORM busybox AS b\nARG TARGETARCH\nRUN echo $TARGETARCH > /a\nFROM scratch\nCOPY --from=b /a /a\n"})
	layout := filepath.Join(t.TempDir(), "layout")
	mabuild(t, "--platform", pair, "-t", "app:v1", "-o", "type=oci,tar=false,dest="+layout, base)
	dir := project(t, map[string]string{"Dockerfile": "FROM example.invalid/nothing\nCOPY --from=other /a /b\n"})
	got := outputs(t, command(t, "--build-context", "example.invalid/nothing=oci-layout://"+layout+":v1", "--build-context", "other=oci-layout://"+layout, dir))
	want := map[string]string{"linux_amd64/a": "amd64", "linux_arm64/a": "arm64", "linux_amd64/b": "amd64", "linux_arm64/b": "arm64"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCall asks about a Dockerfile.
func TestCall(t *testing.T) {
	good := project(t, map[string]string{"Dockerfile": "# the number\nARG VERSION=1\nFROM busybox AS base\n# first is what it is\nFROM scratch AS first\nARG VERSION\nCOPY --from=base /bin/sh /\n"})
	bad := project(t, map[string]string{"Dockerfile": "FROM busybox as Base\nRUN true\n"})
	broken := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUM true\n"})
	for name, test := range map[string]struct {
		flags []string
		code  int
		want  []string
	}{
		"clean":    {[]string{"--check", good}, 0, []string{"Check complete, no warnings found."}},
		"check":    {[]string{"--call=check", "--platform", pair, bad}, 1, []string{"2 warnings", "FromAsCasing", "StageNameCasing", "Dockerfile:1"}},
		"ignored":  {[]string{"--call=check,ignorestatus=true", bad}, 0, []string{"2 warnings"}},
		"JSON":     {[]string{"--call=check,format=json", bad}, 1, []string{`"ruleName": "FromAsCasing"`}},
		"mistake":  {[]string{"--check", broken}, 1, []string{"unknown instruction: RUM", "Dockerfile:2"}},
		"outline":  {[]string{"--call=outline", "--target", "first", good}, 0, []string{"TARGET:", "first", "VERSION"}},
		"targets":  {[]string{"--call=targets", good}, 0, []string{"base", "first (default)", "what it is"}},
		"describe": {[]string{"--call=subrequests.describe", good}, 0, []string{"outline", "targets"}},
	} {
		t.Run(name, func(t *testing.T) {
			res := finish(t, command(t, test.flags...))
			if res.code != test.code {
				t.Errorf("exit code %d, want %d\n%s", res.code, test.code, res.stderr)
			}
			for _, part := range test.want {
				if !strings.Contains(res.stdout+res.stderr, part) {
					t.Errorf("no %q in:\n%s%s", part, res.stdout, res.stderr)
				}
			}
		})
	}
	fails(t, command(t, "--call=everything", good), 2, "check, outline or targets")
}
