package verify

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

const (
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	maxChain    = 16  // programs that start one another
	maxFollowed = 256 // in all
)

// chain follows what an image starts.
type chain struct {
	*checker
	followed int
	seen     map[string]bool // commands, so that scripts may call each other
}

// step is a command on the way.
type step struct {
	words []string
	// params are what "$@" stands for in the script that it comes from.
	params []string
	via    []string
	// sure is set if the command is run for certain and from exactly there. Others
	// count if they lead to a program.
	sure bool
}

// entrypoint follows ENTRYPOINT and CMD to the programs that they start.
func (c *checker) entrypoint() {
	config := c.config.Config
	words, via := config.Entrypoint, "ENTRYPOINT"
	if len(words) == 0 {
		words, via = config.Cmd, "CMD"
	} else {
		words = append(words[:len(words):len(words)], config.Cmd...)
	}
	ch := &chain{checker: c, seen: map[string]bool{}}
	var findings []Finding
	if len(words) > 0 {
		findings = ch.follow(step{words: words, via: []string{via}, sure: true})
	}
	if len(config.Entrypoint) > 0 && len(config.Cmd) > 0 && !strings.HasPrefix(config.Cmd[0], "-") {
		// Most entrypoints run CMD in the end.
		findings = append(findings, ch.follow(step{words: config.Cmd, via: []string{"CMD"}})...)
	}
	for _, f := range findings {
		if f.Path != "" && c.told[f.Path] || c.ignored(f.Path) {
			continue
		}
		c.told[f.Path] = f.Path != ""
		c.add(f)
	}
}

// follow returns what is wrong with the program that a command starts, and with
// those that it starts in turn.
func (ch *chain) follow(s step) []Finding {
	words := command(s.words)
	if ch.followed++; len(words) == 0 || len(s.via) > maxChain || ch.followed > maxFollowed {
		return nil
	}
	if isParams(words[0]) {
		if len(s.params) == 0 {
			return nil
		}
		return ch.follow(step{words: s.params, via: s.via})
	}
	name, known := ch.expand(words[0])
	key := strings.Join(append([]string{name}, words[1:]...), "\x00")
	if !known || name == "" || ch.seen[key] {
		return nil
	}
	ch.seen[key] = true
	f, err := ch.locate(name)
	if err != nil {
		return ch.missing(s, name, err)
	}
	s.words = append([]string{name}, words[1:]...)
	s.via = append(s.via[:len(s.via):len(s.via)], f.path)
	switch f.kind {
	case program:
		return append(ch.program(s, f), ch.inner(s, f)...)
	case script:
		return ch.script(s, f)
	case foreign:
		return []Finding{ch.found(s, f, Finding{
			Level: Error, Rule: RuleFormat,
			Message: "is no program for Linux (" + ch.view.texts[ch.view.nodes[f.node].ref] + "): exec format error",
			Fix:     "build it for " + ch.report.Platform,
		})}
	case file:
		if !s.sure {
			return nil
		}
		if f.exec {
			return []Finding{ch.found(s, f, Finding{
				Level: Error, Rule: RuleFormat,
				Message: "is neither a program nor a script that begins with #!: exec format error",
				Fix:     "put #!/bin/sh on the first line if it is a script",
			})}
		}
		return []Finding{ch.found(s, f, Finding{
			Level: Warning, Rule: RuleFormat,
			Message: "is started by the image but is not executable", Fix: "COPY --chmod=755 it, or chmod +x it",
		})}
	}
	return nil
}

// found completes a finding about a file on the way.
func (ch *chain) found(s step, f found, finding Finding) Finding {
	finding.Path = f.path
	if i := len(s.via); i > 0 && s.via[i-1] == f.path {
		finding.Via = s.via[:i-1]
	} else {
		finding.Via = s.via
	}
	if finding.Fix == "" {
		finding.Fix = ch.fix(strings.TrimPrefix(f.path, "/"), ch.strict.match(strings.TrimPrefix(f.path, "/")))
	}
	return ch.at(f.layer, finding)
}

func (ch *chain) missing(s step, name string, err error) []Finding {
	if !s.sure || name == "" {
		return nil
	}
	f := Finding{
		Level: Warning, Rule: RuleMissing, Via: s.via,
		Message: fmt.Sprintf("the image starts %s, which is not in it: %v", name, err),
		Fix:     "COPY it to where the image starts it, or correct ENTRYPOINT and CMD",
	}
	if errors.Is(err, errLoop) {
		f.Level = Error
		f.Message = fmt.Sprintf("the image starts %s, whose links lead in a circle", name)
	}
	return []Finding{f}
}

// program judges an ELF file that is started, and its interpreter.
func (ch *chain) program(s step, f found) []Finding {
	h := ch.view.headers[ch.view.nodes[f.node].ref]
	result, what := ch.judge(h)
	switch result {
	case newer:
		return []Finding{ch.found(s, f, Finding{Level: Warning, Rule: RuleCPU, Message: what + ", which the platform does not promise"})}
	case fits:
	case noProgram:
		return []Finding{ch.found(s, f, Finding{Level: Error, Rule: RuleFormat, Message: what + ": exec format error"})}
	default:
		if what == "" {
			what = "is for no CPU"
		}
		return []Finding{ch.found(s, f, Finding{Level: Error, Rule: RuleMachine, Message: ch.but(what)})}
	}
	if h.Interp == "" {
		return nil
	}
	interp, err := ch.view.find(ch.absolute(h.Interp))
	if err != nil {
		return []Finding{ch.found(s, f, ch.interpreterMissing(h.Interp, Error))}
	}
	if interp.kind != program {
		return []Finding{ch.found(s, interp, Finding{Level: Error, Rule: RuleFormat, Message: "is the loader of a program, but no program itself"})}
	}
	if result, what := ch.judge(ch.view.headers[ch.view.nodes[interp.node].ref]); result != fits && result != newer {
		return []Finding{ch.found(s, interp, Finding{Level: Error, Rule: RuleMachine, Message: ch.but(what)})}
	}
	return nil
}

// script follows the interpreter of a script, and its commands if that is a shell.
func (ch *chain) script(s step, f found) []Finding {
	shebang, commands := layer.SplitScript(ch.view.texts[ch.view.nodes[f.node].ref])
	if len(shebang) == 0 {
		return []Finding{ch.found(s, f, Finding{Level: Error, Rule: RuleFormat, Message: "names no interpreter after #!: exec format error"})}
	}
	var findings []Finding
	if _, err := ch.locate(shebang[0]); err != nil {
		return []Finding{ch.found(s, f, ch.interpreterMissing(shebang[0], Error))}
	}
	// The script itself is not handed on: its commands are followed here.
	findings = ch.follow(step{words: shebang, via: s.via, sure: true})
	return append(findings, ch.commands(commands, step{params: s.words[1:], via: s.via})...)
}

// commands follows the commands of a shell script. Of programs that a script
// chooses by the machine, which their names tell, only ours has to be right.
func (ch *chain) commands(commands [][]string, s step) []Finding {
	var findings []Finding
	var right bool
	for _, words := range commands {
		findings = append(findings, ch.follow(step{words: words, params: s.params, via: s.via})...)
		right = right || ch.named(words[0])
	}
	if !right {
		return findings
	}
	kept := findings[:0]
	for _, f := range findings {
		if found, err := ch.view.find(f.Path); err != nil || found.kind != program ||
			!names(f.Path, ch.view.headers[ch.view.nodes[found.node].ref]) {
			kept = append(kept, f)
		}
	}
	return kept
}

// named tells whether a word is the path of a program for the platform that says
// so in its name.
func (ch *chain) named(word string) bool {
	if word, known := ch.expand(word); known {
		if f, err := ch.locate(word); err == nil && f.kind == program {
			h := ch.view.headers[ch.view.nodes[f.node].ref]
			result, _ := ch.judge(h)
			return result == fits && names(f.path, h)
		}
	}
	return false
}

// locate finds a program as execvp does.
func (ch *chain) locate(name string) (found, error) {
	if strings.Contains(name, "/") {
		return ch.view.find(ch.absolute(name))
	}
	for place := range strings.SplitSeq(ch.env("PATH"), ":") {
		if f, err := ch.view.find(ch.absolute(path.Join(place, name))); err == nil && f.kind != dir && f.exec {
			return f, nil
		}
	}
	return found{}, errors.New("it is not in PATH")
}

// absolute returns a path as seen from WORKDIR.
func (c *checker) absolute(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "/" + c.config.Config.WorkingDir + "/" + name
}

// env returns a variable of the image.
func (c *checker) env(name string) string {
	for _, pair := range c.config.Config.Env {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	if name == "PATH" {
		return defaultPath
	}
	return ""
}
