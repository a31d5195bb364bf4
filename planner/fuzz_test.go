package planner_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mabuild/mabuild/planner"
)

func FuzzParsePlatforms(f *testing.F) {
	for _, seed := range []string{
		"linux/amd64", "linux/x86_64, Linux/aarch64,linux/arm64/v8", "linux/arm/", "linux /arm", "linux/arm/v7/x", "local",
		"windows(10.0.17763+win32k)/amd64", "windows(%2B+%2C)/amd64", "armhf,armel/v6,linux/armel/v5", "linux/arm64/v9.0", "*",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		got, err := planner.ParsePlatforms(list)
		if err != nil {
			var bad *planner.PlatformError
			if !errors.As(err, &bad) || bad.Reason == "" || bad.Hint == "" {
				t.Fatalf("error %#v does not say what is wrong and what to do", err)
			}
			return
		}
		var formatted []string
		seen := make(map[string]bool)
		for _, platform := range got {
			s := platforms.FormatAll(platform)
			if seen[s] {
				t.Fatalf("%q gives %s twice", list, s)
			}
			seen[s] = true
			formatted = append(formatted, s)
		}
		again, err := planner.ParsePlatforms(formatted...)
		if err != nil {
			t.Fatalf("%q becomes %q, which is refused: %v", list, formatted, err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("%q becomes %q, which is another list:\n%s", list, formatted, diff)
		}
	})
}

func FuzzExpand(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range txtar.Parse(data).Files {
			if section.Name == "Dockerfile" {
				f.Add(section.Data, "", "A=1")
			}
		}
	}
	f.Add([]byte("# escape=`\n# check=skip=all\nFROM --platform=$BUILDPLATFORM ${A#*/} AS b\n# check=error=true\nONBUILD RUN <<E\nx\nE\nFROM b\n"), "B", "a/b")
	f.Add([]byte("\ufeffFROM scratch\r\nCOPY --from=0 <<-\"E\" <<F /x\r\n\tE\r\nF\r\nHEALTHCHECK --interval=1s CMD true\n"), "0", "")
	f.Fuzz(func(t *testing.T, text []byte, target, value string) {
		wanted, err := planner.ParsePlatforms("linux/arm/v6,linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		plan, err := planner.Expand(text, planner.Options{
			Platforms: wanted, BuildPlatform: wanted[1], Target: target, Args: map[string]string{"A": value},
		})
		if err != nil {
			var located *planner.Error
			if !errors.As(err, &located) || located.Line < 0 {
				t.Fatalf("error %#v has no place", err)
			}
			return
		}
		if len(plan.Jobs) != len(wanted) {
			t.Fatalf("%d jobs", len(plan.Jobs))
		}
		for _, job := range plan.Jobs {
			line := 0
			for _, stage := range job.Stages {
				if stage.Line <= line || stage.Base == "" || stage.Name == "" || stage.Platform.OS == "" {
					t.Fatalf("bad stage %+v", stage)
				}
				line = stage.Line
			}
			if line == 0 {
				t.Fatal("job without stages")
			}
		}
		plan.Foreign(wanted)
	})
}
