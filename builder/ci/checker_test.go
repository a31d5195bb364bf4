package ci_test

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/mabuild/mabuild/builder/ci"
)

// commands finds what a system would take for a command in what a step prints, in the
// order of the lines, by the rules of the runners and rather too much than too little:
// a command counts whether or not there is one of that name.
func commands(system ci.System, output string) []string {
	var found []string
	// Runners read lines as .NET, Java and Ruby do: a lone carriage return ends one.
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(output), "\n") {
		all := lineCommands(system, line)
		if viewed := escape.ReplaceAllString(line, ""); len(all) == 0 && viewed != line {
			all = lineCommands(system, viewed) // some viewers take escapes away
		}
		found = append(found, all...)
	}
	return found
}

var (
	colour    = regexp.MustCompile(`\x1b\[[0-9;:]*m`)
	workflow  = regexp.MustCompile(`^::([^ :]*)`)
	hashed    = regexp.MustCompile(`##\[([^\] ]*)`)
	logging   = regexp.MustCompile(`(?i)##vso\[([^\] ]*)`)
	service   = regexp.MustCompile(`(?i)##teamcity\[([^\] ]*)`)
	sections  = regexp.MustCompile(`section_(start|end):`)
	escape    = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[A-Za-z]|[\]_][^\x07]*\x07)`)
	ansi      = regexp.MustCompile(`\x1b\[([;\d]+)?[mK]`)
	groups    = regexp.MustCompile(`^(---|\+\+\+|~~~|\^\^\^)(?:[\s\pZ]|$)`)
	sequences = regexp.MustCompile(`\x1b(?:_|\]1337|\]1338|P|\^)`)
)

func lineCommands(system ci.System, line string) []string {
	var found []string
	add := func(rule *regexp.Regexp, text string) {
		for _, match := range rule.FindAllStringSubmatch(text, -1) {
			found = append(found, match[len(match)-1])
		}
	}
	switch system {
	case ci.GitHub:
		// ActionCommand.TryParseV2 trims white space in front; StartsWith and IndexOf
		// compare as a language does, for which invisible characters are nothing.
		text := strings.TrimLeftFunc(ignored(line), unicode.IsSpace)
		if add(workflow, text); len(found) == 0 {
			add(hashed, ignored(line)) // TryParse, and the viewer of logs
		}
	case ci.Azure:
		add(logging, ignored(line))
		add(hashed, ignored(line))
	case ci.TeamCity:
		add(service, ignored(line))
	case ci.GitLab:
		add(sections, ignored(line))
	case ci.Buildkite:
		// header_times_streamer.go: colours are taken away before.
		add(groups, ansi.ReplaceAllString(line, ""))
		if sequences.MatchString(line) {
			found = append(found, "escape")
		}
	}
	return found
}

// ignored is a line without what some comparison or some viewer may overlook.
func ignored(line string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && (unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)) {
			return -1
		}
		return c
	}, colour.ReplaceAllString(line, ""))
}

// acts reports whether an output does more to a terminal than to colour it.
func acts(output string) bool {
	return strings.ContainsFunc(colour.ReplaceAllString(output, ""), func(c rune) bool {
		return c != '\n' && c != '\t' && unicode.IsControl(c)
	})
}
