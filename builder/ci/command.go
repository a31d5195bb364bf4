package ci

import (
	"fmt"
	"strings"
)

// githubCommand is a workflow command. Properties are names and values in turn; empty
// values are left out.
func githubCommand(name, data string, properties ...string) string {
	var list []string
	for i := 0; i+1 < len(properties); i += 2 {
		if properties[i+1] != "" {
			list = append(list, properties[i]+"="+githubProperty(properties[i+1]))
		}
	}
	if len(list) > 0 {
		name += " " + strings.Join(list, ",")
	}
	return "::" + name + "::" + githubData(data)
}

func githubData(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func githubProperty(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(text)
}

// azureCommand is a logging command. Properties are as in githubCommand.
func azureCommand(name, data string, properties ...string) string {
	escape := strings.NewReplacer("%", "%AZP25", "\r", "%0D", "\n", "%0A", ";", "%3B", "]", "%5D")
	var b strings.Builder
	fmt.Fprintf(&b, "##vso[%s ", name)
	for i := 0; i+1 < len(properties); i += 2 {
		if properties[i+1] != "" {
			fmt.Fprintf(&b, "%s=%s;", properties[i], escape.Replace(properties[i+1]))
		}
	}
	text := b.String()
	return strings.TrimSuffix(text, " ") + "]" + strings.NewReplacer("%", "%AZP25", "\r", "%0D", "\n", "%0A").Replace(data)
}

// teamcityMessage is a service message.
func teamcityMessage(name string, attributes ...string) string {
	escape := strings.NewReplacer("|", "||", "'", "|'", "\n", "|n", "\r", "|r", "[", "|[", "]", "|]")
	var b strings.Builder
	fmt.Fprintf(&b, "##teamcity[%s", name)
	for i := 0; i+1 < len(attributes); i += 2 {
		fmt.Fprintf(&b, " %s='%s'", attributes[i], escape.Replace(attributes[i+1]))
	}
	return b.String() + "]"
}

// maskCommand keeps the runner from showing a text, empty where there is no such
// command.
func (s System) maskCommand(text string) string {
	switch s {
	case GitHub:
		return githubCommand("add-mask", text)
	case Azure:
		return azureCommand("task.setsecret", text)
	}
	return ""
}
