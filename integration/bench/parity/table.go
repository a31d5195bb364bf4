package parity

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

const intro = `# Parity with buildx

Every command line below was run by ` + "`buildx build`" + ` and by ` + "`mabuild`" + `, word by word the same, on one
stock buildkitd, and what they left was compared. Of %d command lines

- %d leave the same,
- %d fail with both, with other exit codes,
- %d differ in what is said at the end of this page, and in nothing else.

These are %s.

` + "`make parity`" + ` runs them again, as root, and writes this page. It builds buildx and buildkitd
of the versions in integration/bench/go.mod. The registry, the base image, the git repository and
the archives are on loopback. The test fails when a program leaves something else than the other
without a reason that is written here, and as well when a difference that is written here is gone.
It also fails when a flag of buildx is in no command line.

Exit codes are compared in each case, and beside them:

`

const places = `
Times are compared only with SOURCE_DATE_EPOCH, since one program runs after the other; sizes and
digests that depend on a time are left out without it, and layers are compared by their digests.

In the command lines REF is a reference in the registry, OUT a directory, ADDR the registry, GIT a
repository, HTTP a server, S3 and AZURE stores of objects; each program has references and directories of its own. What is behind
"first" was run before, by the same program, and "pruned" means that the daemon's cache was emptied
in between.

Not compared: ` + "`--sbom=true`" + `, which needs the image of a scanner, and there is none on loopback
(its flag is parsed: ` + "`--sbom=false`" + ` is here), caches in clouds other than S3 and Azure (gha), and ` + "`--load`" + `
into a running Docker: a test of mabuild's own has that.
`

// WriteTable writes the page about a comparison of programs for its readers: what each
// case is, and why some are not the same.
func WriteTable(w io.Writer, programs string, results []Result) error {
	same, refused := 0, 0
	for _, result := range results {
		switch {
		case len(result.Reasons) == 0:
			same++
		case slices.Equal(result.Reasons, []Reason{ExitCodes}):
			refused++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, intro, len(results), same, refused, len(results)-same-refused, programs)
	looks := Looks()
	for _, name := range sorted(looks) {
		fmt.Fprintf(&b, "- **%s**: %s\n", name, looks[name])
	}
	b.WriteString(places)
	section := ""
	for _, result := range results {
		if c := result.Case; c.Section != section {
			section = c.Section
			fmt.Fprintf(&b, "\n## %s\n\n| command line | compared | result |\n|---|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", commandLine(result.Case), compared(result.Case), verdict(result))
	}
	b.WriteString("\n## The differences\n")
	for _, reason := range reasons() {
		found := slices.ContainsFunc(results, func(r Result) bool { return slices.Contains(r.Reasons, reason.Reason) })
		if found {
			fmt.Fprintf(&b, "\n### %s\n\n%s\n", reason.Reason, reason.text)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// commandLine is a case as it would be typed.
func commandLine(c Case) string {
	var words []string
	for _, variable := range c.Env {
		words = append(words, code(variable))
	}
	if c.Args == "" {
		words = append(words, "(no arguments)")
	} else {
		words = append(words, code(c.Args))
	}
	if c.Stdin != "" {
		words = append(words, "< "+code(c.Stdin))
	}
	if c.Before != "" {
		words = append(words, "<br>first "+code(c.Before))
	}
	if c.Prune {
		words = append(words, "pruned")
	}
	if c.Note != "" {
		words = append(words, "<br>"+c.Note)
	}
	return strings.Join(words, " ")
}

func code(text string) string { return "`" + strings.ReplaceAll(plain(text), "|", `\|`) + "`" }

// plain is a text with the names of places as the page has them.
func plain(text string) string { return strings.NewReplacer("{", "", "}", "").Replace(text) }

func compared(c Case) string {
	looks := []string{"exit code"}
	if c.Fails != 0 {
		looks = []string{"failure"}
	}
	for _, look := range c.Look {
		looks = append(looks, plain(look))
	}
	if c.Times {
		looks = append(looks, "times")
	}
	return strings.Join(looks, ", ")
}

func verdict(r Result) string {
	if len(r.Reasons) == 0 {
		return "same"
	}
	links := make([]string, len(r.Reasons))
	for i, reason := range r.Reasons {
		anchor := strings.ReplaceAll(strings.ToLower(string(reason)), " ", "-")
		links[i] = fmt.Sprintf("[%s](#%s)", reason, anchor)
	}
	return "differs: " + strings.Join(links, ", ")
}
