package parity_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/contexts/contextstest"
	"github.com/mabuild/mabuild/integration/bench/parity"
	"github.com/mabuild/mabuild/integration/bench/rig"
)

var update = flag.Bool("update", false, "write docs/parity.md")

const page = "../../../docs/parity.md"

// atOnce is how many cases run at the same time: programs wait more than they work.
const atOnce = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			fmt.Fprintln(os.Stderr, "setting how many cases run at once:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// TestParity runs every case with buildx and with mabuild. What it finds has to be
// what docs/parity.md says.
func TestParity(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("the comparison with buildx needs root, and in CI it must run")
		}
		t.Skip("the comparison with buildx needs root: run it with sudo")
	}
	lab := start(t)
	cases := parity.Cases()
	t.Run("flags", func(t *testing.T) { coverFlags(t, lab, cases) })
	results := make([]parity.Result, len(cases))
	ran := 0
	run := func(t *testing.T, i int) {
		result, err := lab.Run(t.Context(), cases[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range result.Problems {
			t.Error(problem)
		}
		results[i] = result
	}
	t.Run("case", func(t *testing.T) {
		for _, alone := range []bool{true, false} {
			for i, c := range cases {
				if c.Prune != alone {
					continue
				}
				t.Run(fmt.Sprintf("%d %s", i+1, c.Args), func(t *testing.T) {
					ran++
					if !alone {
						t.Parallel()
					}
					run(t, i)
				})
			}
		}
	})
	if t.Failed() || ran < len(cases) {
		return // of a selection there is no page
	}
	hold(t, lab, results)
}

// notCompared are flags of both programs that no case has.
var notCompared = map[string]string{
	"help": "prints what the program has",
	"load": "needs a running Docker; the tests of mabuild alone have it",
}

// coverFlags holds that the cases have every flag of buildx, also those that mabuild
// does not know.
func coverFlags(t *testing.T, lab *parity.Lab, cases []parity.Case) {
	t.Helper()
	help, err := exec.CommandContext(t.Context(), lab.Tools.Buildx, "build", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([a-z-]+)`).FindAllStringSubmatch(string(help), -1)
	if len(flags) < 30 {
		t.Fatalf("buildx has only %d flags:\n%s", len(flags), help)
	}
	for _, flag := range flags {
		short, long := flag[1], flag[2]
		used := slices.ContainsFunc(cases, func(c parity.Case) bool {
			return slices.ContainsFunc(strings.Fields(c.Before+" "+c.Args), func(word string) bool {
				word, _, _ = strings.Cut(word, "=")
				return word == "--"+long || short != "" && word == "-"+short
			})
		})
		if !used && notCompared[long] == "" {
			t.Errorf("no case has --%s", long)
		}
	}
}

// hold compares the results with the page, or writes it.
func hold(t *testing.T, lab *parity.Lab, results []parity.Result) {
	t.Helper()
	var text bytes.Buffer
	if err := parity.WriteTable(&text, lab.Programs(), results); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text.Bytes(), want) {
		t.Error("docs/parity.md does not say what was found: write it with make parity")
	}
}

// start builds the programs and starts what they work with.
func start(t *testing.T) *parity.Lab {
	t.Helper()
	tools, err := rig.Build(t.Context(), rig.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "mabuild")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "./cmd/mabuild")
	build.Dir = "../../.." // mabuild with the modules of its own go.mod
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building mabuild: %v\n%s", err, out)
	}
	lab, err := parity.Start(t.Context(), parity.Options{Mabuild: binary, Tools: tools, Places: serve(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// serve serves contexts and returns where they are.
func serve(t *testing.T) map[string]string {
	t.Helper()
	server := contextstest.New(t)
	repository := server.Repository(t, "app")
	files := map[string]string{
		"Dockerfile": "FROM scratch\nCOPY a.txt /\n", "a.txt": "main\n", "other.Dockerfile": "FROM scratch\nCOPY . /all\n",
		"sub/Dockerfile": "FROM scratch\nCOPY . /sub\n", "sub/b.txt": "b\n",
	}
	repository.Commit("main", files)
	repository.Git("tag", "v1", "main")
	archive := make(map[string]string)
	for name, text := range files {
		archive["context.tar/"+name] = text
	}
	if err := parity.WriteFiles(server.Files, archive); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY a.txt /url\n", "file.txt": "file\n"} {
		if err := os.WriteFile(filepath.Join(server.Files, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{"{GIT}": repository.URL, "{HTTP}": server.URL + "/files", "{KEY}": key(t), "{AGENT}": agent(t), "{S3}": bucket(t), "{AZURE}": container(t)}
}

// key is a private key as ssh has them in files.
func key(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// agent is the socket of something that could be an agent: no key is asked for.
func agent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "parity-agent-") // short: it is a socket's path
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(listener.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}
