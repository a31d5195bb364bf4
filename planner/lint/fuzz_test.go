package lint_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/lint"
)

// FuzzFindings holds that whatever can be planned can be linted, with findings that
// are complete, in order and about the file.
func FuzzFindings(f *testing.F) {
	pages, err := filepath.Glob("../../docs/lints/*.md")
	if err != nil {
		f.Fatal(err)
	}
	ignore, header := []byte("*.tmp\n!a\n"), program("amd64").Data
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			f.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```dockerfile\n(.*?)```").FindAllSubmatch(text, -1) {
			f.Add(block[1], ignore, header)
		}
	}
	f.Add([]byte("FROM base\nRUN <<EOF\n#!/bin/bash\nfor a in ${TARGETARCH:=x} `arch`; do env GOARCH=$a sudo -E curl https://x/amd64 & done\nEOF\n"), ignore, header)
	f.Add([]byte("# escape=`\nFROM base\nSHELL [\"bash\",\"-c\"]\nONBUILD RUN a=( $TARGETOS ) b+=1; let c=1; ((d=2)); [[ $a =~ x ]]\n# mabuild: ignore=all\nCOPY [\"a b\",\"/x\"]\n"), ignore, header)
	f.Add([]byte("FROM base\nRUN declare -A x=([a]=$TARGETARCH); export $x; echo ${x[@]/a/b} ${!x*} ${#x} ${x:1:2} $((TARGETARCH+1)) <(curl https://e/arm64)\n"), ignore, header)
	f.Fuzz(func(t *testing.T, text, ignore, header []byte) {
		opts := options(t, string(text), "linux/amd64,linux/arm64,linux/arm/v6")
		plan, err := exact.Plan(t.Context(), opts)
		if err != nil {
			return
		}
		context := fstest.MapFS{"a": {Data: header}, "b/a": {Data: header}, ".dockerignore": {Data: ignore}}
		last, lines := 0, strings.Count(string(text), "\n")+1
		for _, f := range lint.Findings(plan, lint.Options{Dockerfile: text, Context: context}) {
			if f.Rule == "" || f.Level == "" || f.Message == "" || len(f.Platforms) == 0 || f.Line < last || f.Line > lines || f.Fix == "" && f.URL == "" {
				t.Errorf("bad finding %+v", f)
			}
			last = f.Line
		}
	})
}
