package ci

import (
	"fmt"
	"strings"
	"time"
)

// groupStart is the line that begins a closed group.
func (s System) groupStart(name, title string, at time.Time) string {
	switch s {
	case GitHub:
		return githubCommand("group", title)
	case GitLab:
		return gitlabSection("start", name, at, "[collapsed=true]") + title
	case Buildkite:
		return "--- " + title
	case TeamCity:
		return teamcityMessage("blockOpened", "name", name, "description", strings.TrimPrefix(title, name+" · "))
	case Azure:
		return "##[group]" + title
	}
	return "==> " + title
}

// groupEnd is the line that ends a group, empty where the next one does.
func (s System) groupEnd(name string, at time.Time) string {
	switch s {
	case GitHub:
		return githubCommand("endgroup", "")
	case GitLab:
		return gitlabSection("end", name, at, "")
	case TeamCity:
		return teamcityMessage("blockClosed", "name", name)
	case Azure:
		return "##[endgroup]"
	}
	return ""
}

// resume is the line that ends a group where groups have no end, before a line that
// belongs to none.
func (s System) resume() string {
	switch s {
	case Buildkite:
		return "~~~ building"
	case Plain, Tekton:
		return "==> building"
	}
	return ""
}

// heading is the line before what is to be read without opening anything.
func (s System) heading(title string) string {
	switch s {
	case Buildkite:
		return "+++ " + title
	case Azure:
		return "##[section]" + title
	}
	return "==> " + title
}

// gitlabSection has the form that GitLab's job log looks for; the carriage return
// keeps it from being seen elsewhere.
func gitlabSection(what, name string, at time.Time, options string) string {
	id := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, name)
	return fmt.Sprintf("\x1b[0Ksection_%s:%d:mabuild_%s%s\r\x1b[0K", what, at.Unix(), id, options)
}
