package ci_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/ci"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go test -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test -update if that is right):\n%s", name, diff)
	}
}

var systems = []ci.System{ci.Plain, ci.GitHub, ci.GitLab, ci.Buildkite, ci.TeamCity, ci.Azure, ci.Tekton}

// clock ticks a second every time that it is looked at.
func clock() func() time.Time {
	at := time.Unix(1_767_225_600, 0)
	return func() time.Time { at = at.Add(time.Second); return at }
}

const password = "correct horse\nbattery staple"

// session is a build of three platforms of which the second fails.
func session(t *testing.T, system ci.System) string {
	t.Helper()
	var out bytes.Buffer
	l := ci.NewLog(&out, ci.LogOptions{System: system, Now: clock(), Secrets: []string{password, "50%off"}})
	say := func(w io.Writer, lines ...string) {
		if _, err := io.WriteString(w, strings.Join(lines, "\n")); err != nil {
			t.Fatal(err)
		}
	}
	say(l, "building 3 platforms\n")
	amd, arm := l.Platform("linux/amd64"), l.Platform("linux/arm64")
	say(amd, "#5 [build 2/3] RUN make", "#5 0.312 cc -o app main.c", "")
	say(arm, "#6 [build 2/3] RUN make", "::error::this was written by a step", "curl -u user:battery staple https://example.com", "")
	say(amd, "#5 1.020 \x1b[32mok\x1b[0m, 10%\r50%\r100%", "--- a/diff", "##[group]of a step, ##vso[task.complete], ##teamcity[x]", "section_start:1:x\r\x1b[0K", "unfinished")
	say(l, "linux/amd64: ")
	l.Done("linux/amd64", "3 native · 1.0s")
	l.Fail("linux/arm64", "RUN make: exit code: 2")
	say(l, "RUN make took 1.0s\n", "half a line")
	say(l.Platform("linux/s390x"), "#7 [build 2/3] RUN make", "")
	l.Annotate([]ci.Annotation{
		{Level: ci.Error, File: "app/Dockerfile", Line: 6, Title: "linux/arm64", Message: "RUN make: exit code: 2\nmake: *** [all] Error 2, 100%"},
		{Level: ci.Warning, File: "app/Dockerfile", Line: 3, Title: "linux/amd64, linux/arm64", Message: "the cache mount is shared; use 50%off"},
		{Level: ci.Notice, Message: "nothing else"},
	})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestLog(t *testing.T) {
	for _, system := range systems {
		t.Run(string(system), func(t *testing.T) {
			got := session(t, system)
			golden(t, string(system)+".log", []byte(got))
			for line := range strings.SplitSeq(got, "\n") {
				masks := strings.HasPrefix(line, "::add-mask::") || strings.HasPrefix(line, "##vso[task.setsecret]")
				if !masks && (strings.Contains(line, "staple") || strings.Contains(line, "50%off")) {
					t.Errorf("a secret is in %q", line)
				}
			}
		})
	}
}

// TestMasksFirst: the runner knows the secrets before anything else is written.
func TestMasksFirst(t *testing.T) {
	got := session(t, ci.GitHub)
	want := "::add-mask::correct horse\n::add-mask::battery staple\n::add-mask::50%25off\n"
	if !strings.HasPrefix(got, want) {
		t.Errorf("the log begins with %q, want %q", got[:min(len(got), 100)], want)
	}
}

// TestMasksOnce: what several places name as a secret is told once.
func TestMasksOnce(t *testing.T) {
	var out bytes.Buffer
	l := ci.NewLog(&out, ci.LogOptions{System: ci.GitHub, Secrets: []string{"one", "one", "two\none"}})
	l.Mask("one", "three")
	if want := "::add-mask::one\n::add-mask::three\n"; out.String() != want {
		t.Errorf("the runner is told %q, want %q", out.String(), want)
	}
}

// hostile are lines of steps that want to be commands.
var hostile = []string{
	"::error::x",
	"::set-output name=digest::x",
	" \t::warning file=a,line=1::x",
	"\u00a0\u2003\u3000\u0085::add-mask::x",
	"\u2028::error::x",
	"\v\f::error::x",
	"\x1b[31m::error::x\x1b[0m",
	"\x1b[2K\x1b[1G::error::x",
	"\x1b]0;title\x07::error::x",
	"\x1b_bk;t=1\x07::error::x",
	"progress\r::error::x",
	"progress\r\r\n::error::x\r",
	"::stop-commands::x",
	"\u200b::error::x",
	"\ufeff::error::x",
	"\u3000\u200d::error::x",
	"\u00a0\ufe0f ::error::x",
	":\u200d:error::x",
	":\x1b[1m:error::x",
	":\x00:error::x",
	"\x1b[\x1b[2K31m::error::x",
	"harmless ##[error]x",
	"####[group]x",
	"##[##[error]x",
	"#\u200b#[error]x",
	"é\u200d##\ufe0f[error]x",
	"#\x1b[0m#\x1b[1m[error]x",
	"#\x1b[2K#[error]x",
	"##\x08[error]x",
	"##vso[task.setvariable variable=PATH]x",
	"text ##VSO[task.complete result=Succeeded;]",
	"##\u00advso[task.complete result=Succeeded;]",
	"##teamcity[setParameter name='x' value='y']",
	"text ##TeamCity[buildStatus text='x']",
	"##teamcity\u200b[buildStop comment='x']",
	"section_start:1700000000:x[collapsed=true]\r\x1b[0Kx",
	"\x1b[0Ksection_end:1700000000:mabuild_linux_amd64\r\x1b[0K",
	"section_\x1b[1mstart:1:x",
	"--- x", "+++ x", "~~~ x", "---", "^^^ +++", "\x1b[0m\x1b[90m+++ x",
	"---\u00a0x",
	"\x1b]1338;url='x';alt='y'\x07x",
	"\x9b2K::error::x",
	"\xff\xfe::error::x",
	"\xff##[error]x",
}

// expected are the commands of a session of one line, which are ours.
func expected(system ci.System, secrets int) []string {
	names := map[ci.System][]string{
		ci.GitHub:    {"error", "group", "endgroup"},
		ci.Azure:     {"task.logissue", "group", "endgroup", "section"},
		ci.TeamCity:  {"message", "blockOpened", "blockClosed"},
		ci.GitLab:    {"start", "end"},
		ci.Buildkite: {"---", "~~~", "+++"},
	}[system]
	for range secrets {
		switch system {
		case ci.GitHub:
			names = append([]string{"add-mask"}, names...)
		case ci.Azure:
			names = append([]string{"task.setsecret"}, names...)
		}
	}
	return names
}

// everywhere puts a text wherever somebody else's may get into a log.
func everywhere(system ci.System, text string, secrets ...string) (string, error) {
	var out bytes.Buffer
	l := ci.NewLog(&out, ci.LogOptions{System: system, Now: clock(), Secrets: secrets})
	fmt.Fprintf(l, "%s\n", text)
	fmt.Fprintf(l.Platform("linux/amd64"), "%s\n%s", text, text)
	fmt.Fprintf(l.Platform("linux/arm64"), "%s", text)
	l.Annotate([]ci.Annotation{{Level: ci.Error, File: text, Line: 1, Title: text, Message: text + "\n" + text}})
	l.Done("linux/amd64", text)
	fmt.Fprintf(l, "%s\n", text)
	l.Fail("linux/arm64", text)
	err := l.Close()
	return out.String(), err
}

// TestHostile: no line of a step is a command, whatever it is.
func TestHostile(t *testing.T) {
	for _, system := range systems {
		for _, line := range hostile {
			t.Run(fmt.Sprintf("%s %q", system, line), func(t *testing.T) {
				output, err := everywhere(system, line)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(expected(system, 0), commands(system, output)); diff != "" {
					t.Errorf("commands (-want +got):\n%s\nof the log\n%q", diff, output)
				}
				if system != ci.GitLab && acts(output) {
					t.Errorf("the log acts on a terminal: %q", output)
				}
			})
		}
	}
}

// TestChecker: what the tests look with finds every one of the commands, if nothing is
// done about them.
func TestChecker(t *testing.T) {
	for _, line := range hostile {
		found := 0
		if !utf8.ValidString(line) {
			continue // runners see other characters than these
		}
		for _, system := range systems {
			found += len(commands(system, line))
		}
		if found == 0 {
			t.Errorf("%q is not found", line)
		}
	}
}

func FuzzLog(f *testing.F) {
	for _, line := range hostile {
		f.Add(line, "secret word")
		f.Add(line+"\n"+line, line)
	}
	f.Fuzz(func(t *testing.T, text, secret string) {
		for _, system := range systems {
			output, err := everywhere(system, text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected(system, 0), commands(system, output)); diff != "" {
				t.Errorf("%s: commands (-want +got):\n%s\nof the log\n%q", system, diff, output)
			}
			// Telling the runner a secret can start nothing else, either.
			output, _ = everywhere(system, "text", secret)
			if got := commands(system, output); len(got) < len(expected(system, 0)) {
				t.Errorf("%s: commands %q of the log\n%q", system, got, output)
			}
		}
	})
}

// TestReadable: what is no command is left as it is.
func TestReadable(t *testing.T) {
	for line, want := range map[string]string{
		"#5 0.312 cc -o app main.c": "", "  indented :: text": "", "std::vector<int>": "", "# comment [1]": "", "a\tb": "",
		"\x1b[1;32mok\x1b[0m": "", "größer 日本語 👩‍🚀 ❤️": "",
		"\x1b[32mgreen":         "\x1b[32mgreen\x1b[0m",
		"10%\r50%\r100%":        "100%",
		"done\r":                "done",
		"a\x1b[1A\x1b[2Kb":      "ab",
		"bell\a null\x00":       "bell⟨U+0007⟩ null⟨U+0000⟩",
		"user\u202egnp.exe":     "user⟨U+202E⟩gnp.exe",
		"::error::no":           ": :error::no",
		"\x1b[31m::error::no":   ": :error::no",
		"see ##[error]no":       "see # #[error]no",
		"not utf-8: \xff\xfe":   "not utf-8: \uFFFD",
		"link \x1b]8;;u\x07t\a": "link t⟨U+0007⟩",
	} {
		if want == "" {
			want = line
		}
		var out bytes.Buffer
		l := ci.NewLog(&out, ci.LogOptions{System: ci.GitHub})
		fmt.Fprintln(l, line)
		if got := strings.TrimSuffix(out.String(), "\n"); got != want {
			t.Errorf("%q is written as %q, want %q", line, got, want)
		}
	}
}

func TestDirect(t *testing.T) {
	var out bytes.Buffer
	l := ci.NewLog(&out, ci.LogOptions{System: ci.GitHub, Direct: true})
	fmt.Fprint(l.Platform("linux/amd64"), "one\n::two::\nthree")
	if got := out.String(); got != "one\n: :two::\n" {
		t.Errorf("before the end: %q", got)
	}
	l.Done("linux/amd64", "note")
	if got := out.String(); got != "one\n: :two::\nthree\n" {
		t.Errorf("after it: %q", got)
	}
}

// TestLong keeps the beginning and the end.
func TestLong(t *testing.T) {
	var out bytes.Buffer
	l := ci.NewLog(&out, ci.LogOptions{MaxPlatform: 40})
	for i := range 100 {
		fmt.Fprintf(l.Platform("linux/amd64"), "line %d\n", i)
	}
	l.Done("linux/amd64", "")
	if got, want := out.String(), "==> linux/amd64\nline 0\nline 1\n… 96 lines are left out …\nline 98\nline 99\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	fmt.Fprint(l, strings.Repeat("x", 3<<20))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 4 || out.Len() != 3<<20+3+len("==> building\n") {
		t.Errorf("an endless line is %d lines of %d bytes", lines, out.Len())
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriteErrors(t *testing.T) {
	l := ci.NewLog(failing{}, ci.LogOptions{})
	if _, err := fmt.Fprintln(l, "x"); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("writing: %v", err)
	}
	if err := l.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("closing: %v", err)
	}
	if _, err := fmt.Fprintln(l.Platform("p"), "x"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after closing: %v", err)
	}
}

func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	l := ci.NewLog(&out, ci.LogOptions{System: ci.GitHub})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			name := fmt.Sprint("linux/", i)
			for range 100 {
				fmt.Fprintf(l.Platform(name), "%s\n", name)
				fmt.Fprintln(l, "alive")
			}
			l.Mask("secret")
			l.Done(name, "")
		})
	}
	group.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		name := fmt.Sprint("linux/", i)
		if !strings.Contains(out.String(), "::group::"+name+"\n"+strings.Repeat(name+"\n", 100)+"::endgroup::\n") {
			t.Errorf("the group of %s is not whole", name)
		}
	}
}
