package lint_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/lint"
)

const pages = "../../docs/lints"

// TestPages holds that what the pages call wrong gives one finding of the rule, and
// what they call right gives none.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, rule := range lint.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(pages, rule.Name+".md"))
			if err != nil {
				t.Fatal(err)
			}
			page := string(text)
			if !strings.HasPrefix(page, "# "+rule.Name+"\n") || !strings.Contains(page, "`# mabuild: ignore="+rule.Name+"`") ||
				!strings.Contains(page, "Level: "+string(rule.Level)) {
				t.Error("the page does not say its name, its level or how to ignore the rule")
			}
			wrong := lintPage(t, page, "Wrong")
			if len(wrong) != 1 || wrong[0].Rule != rule.Name || wrong[0].Fix == "" || wrong[0].Level != rule.Level {
				t.Errorf("wrong: got %+v", wrong)
			}
			for _, f := range lintPage(t, page, "Right") {
				t.Errorf("right: got %+v", f)
			}
		})
	}
}

// lintPage lints the only Dockerfile below a heading.
func lintPage(t *testing.T, page, heading string) []exact.Finding {
	t.Helper()
	_, section, found := strings.Cut(page, "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```dockerfile\n(.*?)```").FindAllStringSubmatch(section, -1)
	if !found || len(blocks) != 1 {
		t.Fatalf("%d Dockerfiles below %s, want 1", len(blocks), heading)
	}
	return findings(t, options(t, blocks[0][1], "linux/amd64,linux/arm64,linux/arm/v7"), files())
}

// TestRules holds that every constant for a rule is in the list.
func TestRules(t *testing.T) {
	t.Parallel()
	var want, got []string
	for _, file := range []string{"rules.go", "../exact/result.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\tRule\w+\s+= "([a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			want = append(want, m[1])
		}
	}
	for _, rule := range lint.Rules() {
		got = append(got, rule.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-constants +list):\n%s", diff)
	}
}

// TestIndex holds that the index lists the rules, and that there are no other
// pages.
func TestIndex(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(pages, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, rule := range lint.Rules() {
		want = append(want, rule.Name)
		line := "| [" + rule.Name + "](" + rule.Name + ".md) | " + string(rule.Level) + " | " + rule.Summary + " |"
		if !strings.Contains(string(text), line) {
			t.Errorf("the index has no line %s", line)
		}
	}
	found, err := filepath.Glob(filepath.Join(pages, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range found {
		if name := strings.TrimSuffix(filepath.Base(file), ".md"); name != "README" {
			got = append(got, name)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-rules +files):\n%s", diff)
	}
	if listed := strings.Count(string(text), "\n| ["); listed != len(want) {
		t.Errorf("the index lists %d rules, want %d", listed, len(want))
	}
}
