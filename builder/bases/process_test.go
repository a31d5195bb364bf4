package bases_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/registry"
)

// variables that make the test's program a second process of TestProcesses
const (
	envDir  = "MABUILD_TEST_BASES_DIR"
	envRefs = "MABUILD_TEST_BASES_REFS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := process(dir, strings.Fields(os.Getenv(envRefs))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process looks everything up several times, as so many builds would, and spoils
// the cache for the others meanwhile.
func process(dir string, refs []string) error {
	client := registry.New(registry.Options{})
	ctx := context.Background()
	for round := range 10 {
		r := bases.New(bases.Options{Registry: client, Dir: dir, TTL: -1})
		for _, ref := range refs {
			base, err := r.Resolve(ctx, ref)
			if err != nil {
				return err
			}
			fmt.Println(ref, base.Digest, offered(base))
			for _, desc := range base.Manifests {
				if _, err := r.Config(ctx, ref, desc); err != nil {
					return err
				}
			}
		}
		if round%3 == 0 {
			if err := r.Prune(0); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestProcesses(t *testing.T) {
	w := newWorld(t)
	var refs, want []string
	for _, name := range []string{"a", "b", "c"} {
		desc := w.multi(six[:3]...)
		if name == "b" {
			desc = w.multi(six[3:]...)
		}
		ref := w.push(name+":v1", desc)
		refs = append(refs, ref)
		want = append(want, fmt.Sprintln(ref, desc.Digest, offered(w.resolve(w.resolver(bases.Options{}), ref))))
	}
	expected := strings.Repeat(strings.Join(want, ""), 10)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var stderr bytes.Buffer
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), envDir+"="+w.dir, envRefs+"="+strings.Join(refs, " "))
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || string(out) != expected {
				t.Errorf("%v: %s\n%s", err, &stderr, out)
			}
		})
	}
	wg.Wait()
	if got := w.files("tmp"); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}
