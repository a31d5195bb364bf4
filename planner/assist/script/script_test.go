package script_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner/assist/script"
)

// TestRead writes a command as its words, "=" with assignments, ">" with
// redirections.
func TestRead(t *testing.T) {
	tests := []struct {
		args []string
		want string // opaque for what cannot be read
	}{
		{[]string{"/bin/sh", "-c", "go build ./... && echo 'a b'"}, "[go build ./...] [echo a b]"},
		{[]string{"sh", "-c", "x=1 go test | tee log"}, "[go test]=x=1 [tee log]"},
		{[]string{"sh", "-c", "echo $(go version) `uname`"}, "[echo $(go version) `uname`] [go version] [uname]"},
		{[]string{"sh", "-c", `"$HOME"/bin/go b\uild`}, "[$HOME/bin/go build]"},
		{[]string{"sh", "-c", "if a; then b; else c; fi > d"}, "[]>d [a] [b] [c]"},
		{[]string{"sh", "-c", "for x in a b; do go $x; done; f() { rm x; }"}, "[go $x] [rm x]"},
		{[]string{"sh", "-c", "a > b 2> c < d"}, "[a]>b,c"},
		{[]string{"/bin/bash", "-eo", "pipefail", "-c", "go build"}, "[go build]"},
		{[]string{"/bin/bash", "-c", "diff <(a) <(b); x=(1 2); c"}, "[diff <(a) <(b)] [a] [b] []=x=(1 2) [c]"},
		{[]string{"sh", "-c", "[[ a == b ]] && go build"}, "[[[ a == b ]]] [go build]"},
		{[]string{"/bin/sh", "-c", "export A=b; go build"}, "[export A=b] [go build]"},
		{[]string{"/bin/bash", "-c", "export A=b; declare C; go build"}, "[export]=A=b [declare]=C= [go build]"},
		{[]string{"sh", "build.sh", "-c"}, "[sh build.sh -c]"},
		{[]string{"go", "build"}, "[go build]"},
		{[]string{"sh", "-c", "cat <<E\ngo build\nE\ngo vet"}, "[cat] [go vet]"},
		{[]string{"sh", "-c", "if"}, "opaque"},
		{[]string{"/dev/pipes/EOF"}, "opaque"},
		{nil, "opaque"},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			commands, opaque := script.Read(test.args)
			var parts []string
			for _, c := range commands {
				part := fmt.Sprint(c.Words)
				if len(c.Assigns) > 0 {
					part += "=" + strings.Join(c.Assigns, ",")
				}
				if len(c.Redirects) > 0 {
					part += ">" + strings.Join(c.Redirects, ",")
				}
				parts = append(parts, part)
			}
			got := strings.Join(parts, " ")
			if opaque {
				got = "opaque"
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestCalls(t *testing.T) {
	tests := []struct {
		text            string
		calls, scripted bool // of go, by the first command
	}{
		{"go build", true, false},
		{"/usr/local/go/bin/go build", true, true},
		{"sudo -E go build", true, false},
		{"env A=b go build", true, false},
		{"bash -c 'cd x && go build'", true, true},
		{"find . -name go.mod -execdir go vet \\;", true, false},
		{"echo go", false, false},
		{"./go.sh", false, true},
		{"$GO build", false, true},
		{"xargs ./x.sh", false, true},
		{"/usr/bin/git clone x", false, false},
		{"npm run build", false, true},
		{". ./env.sh", false, true},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			commands, _ := script.Read([]string{"sh", "-c", test.text})
			if c := commands[0]; c.Calls("go") != test.calls || c.Scripted() != test.scripted {
				t.Errorf("calls go: %t, scripted: %t, want %t and %t", c.Calls("go"), c.Scripted(), test.calls, test.scripted)
			}
		})
	}
}
