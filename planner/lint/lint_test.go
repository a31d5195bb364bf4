package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/lint"
)

const both = "linux/amd64,linux/arm64"

// test is a Dockerfile and what is found in it.
type test struct {
	dockerfile string
	platforms  string // both, if empty
	context    fstest.MapFS
	args       map[string]string
	want       string // lines "LINE RULE PLATFORMS"
	message    string // part of the message of every finding
	fix        string
}

func runTests(t *testing.T, tests map[string]test) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.platforms == "" {
				test.platforms = both
			}
			opts := options(t, test.dockerfile, test.platforms)
			opts.Args = test.args
			var got []string
			for _, f := range findings(t, opts, test.context) {
				got = append(got, fmt.Sprintf("%d %s %s", f.Line, f.Rule, strings.Join(f.Platforms, " ")))
				if !strings.Contains(f.Message, test.message) || !strings.Contains(f.Fix, test.fix) || f.Stage == "" && !strings.HasPrefix(f.Rule, "ignore") || f.File != "Dockerfile" {
					t.Errorf("finding %+v\nhas not message %q with fix %q", f, test.message, test.fix)
				}
				if f.Fix == "" && f.URL == "" || f.Level == "" {
					t.Errorf("finding %+v\nis not complete", f)
				}
			}
			if diff := cmp.Diff(test.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestArgUndeclared(t *testing.T) {
	t.Parallel()
	runTests(t, map[string]test{
		"case 2: in a stage": {
			dockerfile: "FROM base\nRUN test -n \"$TARGETARCH\"", want: "2 arg-undeclared linux/amd64 linux/arm64",
			message: "TARGETARCH is used in stage stage-0 without ARG", fix: "insert above line 2: ARG TARGETARCH",
		},
		"case 2: declared after FROM": {dockerfile: "FROM base\nARG TARGETARCH\nRUN test -n \"$TARGETARCH\""},
		"case 2: only before FROM": {
			dockerfile: "ARG TARGETARCH\nFROM base\nRUN test -n \"$TARGETARCH\"", want: "3 arg-undeclared linux/amd64 linux/arm64",
		},
		"case 2: declared below": {
			dockerfile: "FROM base\nRUN test -n \"$TARGETARCH\"\nARG TARGETARCH", want: "2 arg-undeclared linux/amd64 linux/arm64",
		},
		"case 2: in another stage": {
			dockerfile: "FROM base AS a\nARG TARGETARCH\nRUN true\nFROM base\nCOPY --from=a /x /\nRUN echo ${TARGETARCH}", want: "6 arg-undeclared linux/amd64 linux/arm64",
		},
		"case 2: in a path":                {dockerfile: "FROM base\nCOPY bin/$TARGETARCH/x /", want: "2 UndefinedVar linux/amd64 linux/arm64"},
		"in the stage that it is FROM":     {dockerfile: "FROM base AS a\nARG TARGETARCH\nFROM a\nRUN echo $TARGETARCH"},
		"in the base image":                {dockerfile: "FROM example.com/with-arch\nRUN echo $TARGETARCH"},
		"ENV":                              {dockerfile: "FROM base\nENV TARGETARCH=x\nRUN echo $TARGETARCH"},
		"inner line":                       {dockerfile: "FROM base\nRUN true \\\n # why\n && echo a \\\n && echo $TARGETOS-$TARGETARCH", want: "5 arg-undeclared linux/amd64 linux/arm64", fix: "above line 2: ARG TARGETOS TARGETARCH"},
		"heredoc":                          {dockerfile: "FROM base\nRUN <<EOF\necho a\necho $TARGETARCH\nEOF", want: "4 arg-undeclared linux/amd64 linux/arm64"},
		"heredoc for a shell":              {dockerfile: "FROM base\nRUN <<EOF\n#!/usr/bin/env bash\necho $TARGETARCH\nEOF", want: "4 arg-undeclared linux/amd64 linux/arm64"},
		"heredoc for another program":      {dockerfile: "FROM base\nRUN <<EOF\n#!/usr/bin/perl\nprint $TARGETARCH\nEOF"},
		"heredoc that makes a script":      {dockerfile: "FROM base\nRUN cat <<'EOF' >/x.sh\necho $TARGETARCH\nEOF"},
		"exec form of a shell":             {dockerfile: "FROM base\nRUN [\"/bin/sh\", \"-ec\", \"echo $TARGETARCH\"]", want: "2 arg-undeclared linux/amd64 linux/arm64"},
		"exec form":                        {dockerfile: "FROM base\nRUN [\"echo\", \"$TARGETARCH\"]"},
		"another shell":                    {dockerfile: "FROM base\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN echo $TARGETARCH", want: "3 arg-undeclared linux/amd64 linux/arm64"},
		"no shell":                         {dockerfile: "FROM base\nSHELL [\"pwsh\", \"-c\"]\nRUN echo $TARGETARCH"},
		"set by the script":                {dockerfile: "FROM base\nRUN TARGETARCH=$(uname -m) && echo $TARGETARCH"},
		"exported":                         {dockerfile: "FROM base\nRUN export TARGETARCH=x; echo $TARGETARCH"},
		"read":                             {dockerfile: "FROM base\nRUN read -r TARGETARCH </a; echo $TARGETARCH"},
		"loop":                             {dockerfile: "FROM base\nRUN for TARGETARCH in amd64 arm64; do echo $TARGETARCH; done"},
		"sourced":                          {dockerfile: "FROM base\nRUN . /env && echo $TARGETARCH"},
		"exported from a file":             {dockerfile: "FROM base\nRUN export $(cat /env) && echo $TARGETARCH"},
		"other way to find out":            {dockerfile: "FROM base\nRUN echo ${TARGETARCH:-$(uname -m)}"},
		"literal default":                  {dockerfile: "FROM base\nRUN echo ${TARGETARCH:-amd64}", want: "2 arg-undeclared linux/amd64 linux/arm64"},
		"literal":                          {dockerfile: "FROM base\nRUN echo '$TARGETARCH' \\$TARGETARCH"},
		"longer name":                      {dockerfile: "FROM base\nRUN echo $TARGETARCHES $MY_TARGETARCH"},
		"variant that no platform has":     {dockerfile: "FROM base\nRUN echo $TARGETVARIANT"},
		"variant":                          {dockerfile: "FROM base\nRUN echo $TARGETVARIANT", platforms: "linux/amd64,linux/arm/v7", want: "2 arg-undeclared linux/arm/v7"},
		"secret":                           {dockerfile: "FROM base\nRUN --mount=type=secret,id=a,env=TARGETARCH echo $TARGETARCH"},
		"one platform":                     {dockerfile: "FROM base\nRUN echo $TARGETARCH", platforms: "linux/arm64", want: "2 arg-undeclared linux/arm64"},
		"stage that nobody needs":          {dockerfile: "FROM base AS a\nRUN echo $TARGETARCH\nFROM base"},
		"Windows":                          {dockerfile: "FROM base\nRUN echo $TARGETARCH", platforms: "windows/amd64"},
		"syntax that no shell understands": {dockerfile: "FROM base\nRUN echo $TARGETARCH; if (; fi"},
		"trigger":                          {dockerfile: "FROM base AS a\nONBUILD RUN echo $TARGETARCH\nFROM a", want: "3 arg-undeclared linux/amd64 linux/arm64"},
	})
}

func TestCaches(t *testing.T) {
	t.Parallel()
	const apt = "RUN --mount=type=cache,target=/var/cache/apt%s apt-get install -y gcc"
	runTests(t, map[string]test{
		"empty": {
			dockerfile: "FROM base\nRUN --mount=type=cache,id=x-$TARGETARCH,target=/c true", want: "2 cache-id-empty linux/amd64 linux/arm64",
			message: "x-$TARGETARCH is the same for all platforms", fix: "insert above line 2: ARG TARGETARCH",
		},
		"empty in a pinned stage": {
			dockerfile: "FROM --platform=$BUILDPLATFORM base AS a\nRUN --mount=type=cache,id=x-${TARGETPLATFORM},target=/c true\nFROM base\nCOPY --from=a /x /",
			want:       "2 cache-id-empty linux/amd64 linux/arm64",
		},
		"empty, and on an inner line":    {dockerfile: "FROM base\nRUN --mount=type=tmpfs,target=/tmp \\\n --mount=type=cache,id=x-$TARGETARCH,target=/c true", want: "3 cache-id-empty linux/amd64 linux/arm64"},
		"declared":                       {dockerfile: "FROM base\nARG TARGETARCH\nRUN --mount=type=cache,id=x-$TARGETARCH,target=/c true"},
		"one of two is declared":         {dockerfile: "FROM base\nARG TARGETARCH\nRUN --mount=type=cache,id=$TARGETARCH-$TARGETVARIANT,target=/c true", want: "3 UndefinedVar linux/amd64 linux/arm64"},
		"empty for one platform":         {dockerfile: "FROM base\nRUN --mount=type=cache,id=x-$TARGETARCH,target=/c true", platforms: "linux/arm64", want: "2 UndefinedVar linux/arm64"},
		"apt":                            {dockerfile: "FROM base\n" + fmt.Sprintf(apt, ""), want: "2 cache-shared linux/amd64 linux/arm64", message: "/var/cache/apt", fix: "sharing=locked"},
		"apt, both directories":          {dockerfile: "FROM base\nRUN --mount=type=cache,target=/var/cache/apt --mount=type=cache,target=/var/lib/apt/ apt-get update", want: "2 cache-shared linux/amd64 linux/arm64"},
		"apt, locked":                    {dockerfile: "FROM base\n" + fmt.Sprintf(apt, ",sharing=locked")},
		"apt, private":                   {dockerfile: "FROM base\n" + fmt.Sprintf(apt, ",sharing=private")},
		"apt by platform":                {dockerfile: "FROM base\nARG TARGETARCH\n" + fmt.Sprintf(apt, ",id=apt-$TARGETARCH")},
		"apt on the build platform":      {dockerfile: "FROM --platform=$BUILDPLATFORM base AS a\n" + fmt.Sprintf(apt, "") + "\nFROM base\nCOPY --from=a /x /"},
		"apt in stages of two platforms": {dockerfile: "FROM --platform=$BUILDPLATFORM base AS a\n" + fmt.Sprintf(apt, "") + "\nFROM base\nCOPY --from=a /x /\n" + fmt.Sprintf(apt, ""), want: "2 cache-shared linux/amd64 linux/arm64\n5 cache-shared linux/amd64 linux/arm64"},
		"apt for one platform":           {dockerfile: "FROM base\n" + fmt.Sprintf(apt, ""), platforms: "linux/arm64"},
		"node_modules":                   {dockerfile: "FROM base\nRUN --mount=type=cache,target=/src/node_modules npm ci", want: "2 cache-shared linux/amd64 linux/arm64", fix: "id=node_modules-$TARGETPLATFORM"},
		"node_modules, locked":           {dockerfile: "FROM base\nRUN --mount=type=cache,target=/src/node_modules,sharing=locked npm ci", want: "2 cache-shared linux/amd64 linux/arm64"},
		"Cargo":                          {dockerfile: "FROM base\nRUN --mount=type=cache,target=/src/target cargo build", want: "2 cache-shared linux/amd64 linux/arm64"},
		"target of Maven":                {dockerfile: "FROM base\nRUN --mount=type=cache,target=/src/target mvn package"},
		"caches that tell platforms apart": {dockerfile: "FROM base\nRUN --mount=type=cache,target=/root/.cache/go-build --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.npm " +
			"--mount=type=cache,target=/root/.cache/pip --mount=type=cache,target=/root/.ccache --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/node_modules/.cache true"},
		"unknown directory": {dockerfile: "FROM base\nRUN --mount=type=cache,target=/cache true"},
		"platform stages":   {dockerfile: "FROM base AS base-amd64\n" + fmt.Sprintf(apt, ",id=a") + "\nFROM base AS base-arm64\n" + fmt.Sprintf(apt, ",id=b") + "\nFROM base-$TARGETARCH"},
	})
}

func TestArchURL(t *testing.T) {
	t.Parallel()
	const curl = "RUN curl -fsSLO https://example.com/v1/"
	runTests(t, map[string]test{
		"amd64":                    {dockerfile: "FROM base\n" + curl + "tool-linux-amd64.tar.gz", want: "2 arch-url linux/arm64", message: "tool-linux-amd64.tar.gz is for amd64", fix: "https://example.com/v1/tool-linux-${TARGETARCH}.tar.gz"},
		"x86_64":                   {dockerfile: "FROM base\n" + curl + "tool_x86_64", want: "2 arch-url linux/arm64", fix: "https://example.com/v1/tool_$(uname -m)"},
		"arm64":                    {dockerfile: "FROM base\n" + curl + "arm64/tool", want: "2 arch-url linux/amd64"},
		"linux64":                  {dockerfile: "FROM base\n" + curl + "chromedriver_linux64.zip", want: "2 arch-url linux/arm64", fix: `case "$TARGETARCH" in`},
		"x64":                      {dockerfile: "FROM base\n" + curl + "node-v22-linux-x64.tar.xz", want: "2 arch-url linux/arm64"},
		"x64 before the end":       {dockerfile: "FROM base\n" + curl + "tool-x64.tar.gz", want: "2 arch-url linux/arm64"},
		"x64 in a product":         {dockerfile: "FROM base\n" + curl + "x64dbg-tools-1.0.tar.gz && curl -O https://example.com/x64/theme.zip https://x64.example.com/y.zip https://example.com/linux-x64studio.zip"},
		"inner line":               {dockerfile: "FROM base\nRUN apt-get update \\\n && wget -q \\\n https://example.com/tool_amd64.deb \\\n && dpkg -i tool_amd64.deb", want: "4 arch-url linux/arm64"},
		"package":                  {dockerfile: "FROM base\nRUN dpkg -i /tmp/tool_1.0_amd64.deb", want: "2 arch-url linux/arm64"},
		"archive":                  {dockerfile: "FROM base\nRUN tar xzf tool-linux-amd64.tar.gz -C /opt", want: "2 arch-url linux/arm64"},
		"archive that is made":     {dockerfile: "FROM base\nRUN tar czf tool-linux-amd64.tar.gz /opt"},
		"variable of the file":     {dockerfile: "FROM base\nARG MACHINE=x86_64\nRUN curl -O https://example.com/tool-$MACHINE.tgz", want: "3 arch-url linux/arm64"},
		"variable of the script":   {dockerfile: "FROM base\nRUN ARCH=amd64 && curl -O https://example.com/tool-$ARCH.tgz", want: "2 arch-url linux/arm64"},
		"address in a variable":    {dockerfile: "FROM base\nRUN url=https://example.com/tool-amd64.tgz; curl -O \"$url\"", want: "2 arch-url linux/arm64"},
		"exec form":                {dockerfile: "FROM base\nRUN [\"curl\", \"-O\", \"https://example.com/tool-amd64.tgz\"]", want: "2 arch-url linux/arm64"},
		"heredoc":                  {dockerfile: "FROM base\nRUN <<EOF\nset -e\ncurl -O https://example.com/tool-amd64.tgz\nEOF", want: "4 arch-url linux/arm64"},
		"sudo":                     {dockerfile: "FROM base\nRUN sudo -E curl -O https://example.com/tool-amd64.tgz", want: "2 arch-url linux/arm64"},
		"ADD":                      {dockerfile: "FROM base\nADD https://example.com/tool-amd64.tgz /opt/", want: "2 arch-url linux/arm64"},
		"ADD with an argument":     {dockerfile: "FROM base\nARG MACHINE=x86_64\nADD https://example.com/tool-$MACHINE.tgz /opt/", want: "3 arch-url linux/arm64"},
		"ADD by platform":          {dockerfile: "FROM base\nARG TARGETARCH\nADD https://example.com/tool-$TARGETARCH.tgz /opt/"},
		"ADD of an archive":        {dockerfile: "FROM base\nADD tool-amd64.tar.gz /opt/", want: "2 arch-url linux/arm64"},
		"ADD of two archives":      {dockerfile: "FROM base\nADD tool-amd64.tar.gz tool-arm64.tar.gz /opt/"},
		"ADD to scratch":           {dockerfile: "FROM scratch\nADD https://example.com/rootfs-amd64.tar.gz /", want: "2 arch-url linux/arm64"},
		"case by argument":         {dockerfile: "FROM base\nARG TARGETARCH\nRUN case \"$TARGETARCH\" in amd64) curl -O https://example.com/a-x86_64.tgz;; *) exit 1;; esac"},
		"case by machine":          {dockerfile: "FROM base\nRUN case $(uname -m) in x86_64) curl -O https://example.com/a-x86_64.tgz;; esac"},
		"dpkg":                     {dockerfile: "FROM base\nRUN if [ \"$(dpkg --print-architecture)\" = amd64 ]; then curl -O https://example.com/a-amd64.deb; fi"},
		"apk":                      {dockerfile: "FROM base\nRUN a=$(apk --print-arch); [ $a = x86_64 ] && curl -O https://example.com/a-x86_64.tgz"},
		"two architectures":        {dockerfile: "FROM base\nRUN curl -O https://example.com/a-amd64.tgz -O https://example.com/a-arm64.tgz"},
		"two in the stage":         {dockerfile: "FROM base\nRUN curl -O https://example.com/a-amd64.tgz\nRUN curl -O https://example.com/a-aarch64.tgz\nRUN ./choose"},
		"other system":             {dockerfile: "FROM base\n" + curl + "tool-windows-amd64.zip && curl -O https://example.com/darwin/amd64/x https://example.com/x-amd64.exe"},
		"emulator and firmware":    {dockerfile: "FROM base\n" + curl + "qemu-aarch64-static && curl -O https://example.com/firmware/armv7/x https://example.com/vmlinuz-arm64"},
		"name of a server":         {dockerfile: "FROM base\nRUN curl -O https://amd64.example.com/x.tgz"},
		"32 bits":                  {dockerfile: "FROM base\n" + curl + "tool_i386.deb", platforms: "linux/amd64,linux/386"},
		"32 bits and ARM":          {dockerfile: "FROM base\n" + curl + "tool_i386.deb", want: "2 arch-url linux/arm64"},
		"text":                     {dockerfile: "FROM base\nRUN echo see https://example.com/amd64/x && sed -i s,http://a/amd64/,http://b/amd64/, /etc/x"},
		"build tool":               {dockerfile: "FROM --platform=$BUILDPLATFORM base AS a\n" + curl + "tool-linux-amd64.tar.gz\nFROM base\nCOPY --from=a /x /"},
		"stage for one platform":   {dockerfile: "FROM base AS base-amd64\n" + curl + "tool-amd64.tgz\nFROM base AS base-arm64\n" + curl + "tool-arm64.tgz\nFROM base-$TARGETARCH"},
		"one platform":             {dockerfile: "FROM base\n" + curl + "tool-linux-amd64.tar.gz", platforms: "linux/amd64"},
		"all platforms of one CPU": {dockerfile: "FROM base\n" + curl + "tool-linux-arm.tar.gz", platforms: "linux/arm/v6,linux/arm/v7"},
		"Docker's names":           {dockerfile: "FROM base\n" + curl + "arm64v8/x.tgz", want: "2 arch-url linux/amd64"},
		"part of a word":           {dockerfile: "FROM base\n" + curl + "xamd64.tgz && curl -O https://example.com/amd64x.tgz https://example.com/charm64.zip https://example.com/v1.386.tgz"},
		"x86 alone":                {dockerfile: "FROM base\n" + curl + "x86/tool.tgz"},
		"linux-x86_64":             {dockerfile: "FROM base\n" + curl + "tool-linux-x86_64.tgz", want: "2 arch-url linux/arm64", fix: "tool-linux-$(uname -m).tgz"},
		"Windows":                  {dockerfile: "FROM base\n" + curl + "tool-amd64.zip", platforms: "windows/amd64"},
		"in a comment":             {dockerfile: "FROM base\nRUN true \\\n# https://example.com/tool-amd64.tgz\n && true"},
		"deployed by a variable":   {dockerfile: "FROM base\nARG TARGETARCH\nRUN [ $TARGETARCH != amd64 ] || curl -O https://example.com/tool-amd64.tgz"},
	})
}

// TestExamples holds that nothing is found in the examples, files included.
func TestExamples(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob("../../examples/*/Dockerfile")
	if err != nil || len(found) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		opts := options(t, string(text), "linux/amd64,linux/arm64,linux/arm/v7,linux/s390x")
		opts.Context = filepath.Dir(file)
		result, err := exact.Plan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range lint.Findings(result, lint.Options{Dockerfile: text, Context: root.FS()}) {
			t.Errorf("%s:%d: %s: %s", file, f.Line, f.Rule, f.Message)
		}
		_ = root.Close()
	}
}
