package verify

import (
	"path"
	"strings"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

// isAssignment tells NAME=value before a command from the command.
func isAssignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && !strings.ContainsAny(name, "/$.-")
}

// command leaves out what a shell takes for itself: assignments, exec.
func command(words []string) []string {
	for len(words) > 0 {
		switch {
		case words[0] == "exec":
			words = operands(words[1:])
		case isAssignment(words[0]):
			words = words[1:]
		default:
			return words
		}
	}
	return nil
}

// isParams tells whether a word stands for the arguments of a script.
func isParams(word string) bool {
	switch word {
	case "$@", "$*", "${@}", "${*}", "$1", "${1}":
		return true
	}
	return false
}

// expand replaces the variables of a word by those of the image. It is not known
// if the word needs more than those.
func (c *checker) expand(word string) (string, bool) {
	var b strings.Builder
	for {
		before, after, more := strings.Cut(word, "$")
		b.WriteString(before)
		if !more {
			break
		}
		name, rest := after, ""
		if strings.HasPrefix(after, "{") {
			var ok bool
			if name, rest, ok = strings.Cut(after[1:], "}"); !ok {
				return "", false
			}
		} else {
			end := strings.IndexFunc(after, func(r rune) bool {
				return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
			})
			if end >= 0 {
				name, rest = after[:end], after[end:]
			}
		}
		value := c.env(name)
		if name == "" || value == "" {
			return "", false
		}
		b.WriteString(value)
		word = rest
	}
	return b.String(), !strings.ContainsAny(b.String(), "`*?[")
}

// inner follows the command that a program is asked to run: by a shell, an init,
// a tool that changes the user or the environment, a loader, a Java VM.
func (ch *chain) inner(s step, f found) []Finding {
	args := s.words[1:]
	next := func(words []string) []Finding {
		return ch.follow(step{words: words, params: s.params, via: s.via})
	}
	name, target := path.Base(s.words[0]), path.Base(f.path)
	if layer.IsShell(name) && name != "busybox" {
		return ch.shell(s, args)
	}
	switch name {
	case "env":
		return next(envCommand(args))
	case "tini", "tini-static", "dumb-init", "catatonit", "docker-init":
		for i, arg := range args {
			if arg == "--" {
				return next(args[i+1:])
			}
		}
		return next(operands(args))
	case "gosu", "su-exec", "timeout", "chroot":
		if rest := operands(args); len(rest) > 1 {
			return next(rest[1:])
		}
	case "nice", "nohup", "setsid", "stdbuf", "time", "ionice", "busybox", "command":
		return next(operands(args))
	case "java":
		return ch.jar(s, args)
	}
	if strings.HasPrefix(target, "ld-") && strings.Contains(target, ".so") || strings.HasPrefix(target, "ld-musl") {
		return next(operands(args))
	}
	return nil
}

// operands leaves out the options before the first operand.
func operands(args []string) []string {
	for i, arg := range args {
		if arg == "--" {
			return args[i+1:]
		}
		if !strings.HasPrefix(arg, "-") {
			return args[i:]
		}
	}
	return nil
}

// envCommand returns the command of env's arguments.
func envCommand(args []string) []string {
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "-S" || arg == "--split-string":
			if len(args) == 1 {
				return nil
			}
			args = append(strings.Fields(args[1]), args[2:]...)
		case strings.HasPrefix(arg, "-S"):
			args = append(strings.Fields(arg[2:]), args[1:]...)
		case (arg == "-u" || arg == "-C") && len(args) > 1:
			args = args[2:]
		case strings.HasPrefix(arg, "-") || isAssignment(arg):
			args = args[1:]
		default:
			return args
		}
	}
	return nil
}

// shell follows the script or the command line that a shell is given.
func (ch *chain) shell(s step, args []string) []Finding {
	for i, arg := range args {
		switch {
		case arg == "--":
		case strings.HasPrefix(arg, "-") && strings.HasSuffix(arg, "c") && !strings.HasPrefix(arg, "--"):
			if i+1 == len(args) {
				return nil
			}
			var params []string
			if i+3 < len(args) {
				params = args[i+3:]
			}
			return ch.commands(layer.CommandLine(args[i+1]), step{params: params, via: s.via})
		case strings.HasPrefix(arg, "-") || strings.HasPrefix(arg, "+"):
		default:
			f, err := ch.view.find(ch.absolute(arg))
			if err != nil || f.kind != script {
				return nil
			}
			_, commands := layer.SplitScript(ch.view.texts[ch.view.nodes[f.node].ref])
			via := append(s.via[:len(s.via):len(s.via)], f.path)
			return ch.commands(commands, step{params: args[i+1:], via: via})
		}
	}
	return nil
}

// jar looks at the archive that a Java VM is started with.
func (ch *chain) jar(s step, args []string) []Finding {
	for i, arg := range args {
		if arg != "-jar" || i+1 == len(args) {
			continue
		}
		name, known := ch.expand(args[i+1])
		f, err := ch.view.find(ch.absolute(name))
		if !known || err != nil || f.kind != archive {
			return nil
		}
		finding := ch.archive(strings.TrimPrefix(f.path, "/"), ch.view.members[ch.view.nodes[f.node].ref])
		if finding.Rule != RuleArchive {
			return nil
		}
		ch.told[f.path] = true
		finding.Level, finding.Via = Error, s.via
		return []Finding{ch.at(f.layer, finding)}
	}
	return nil
}
