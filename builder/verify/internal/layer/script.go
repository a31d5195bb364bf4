package layer

import (
	"bytes"
	"path"
	"strings"
)

const (
	scriptSize  = 16 << 10
	maxShebang  = 256 // BINPRM_BUF_SIZE
	maxCommands = 16
	maxWords    = 16
	maxWord     = 512
)

// ParseScript returns what a script leads to: what follows #! on the first line,
// then one line for each [Commands] of a shell script.
func ParseScript(head []byte) string {
	first, body, _ := bytes.Cut(head, []byte{'\n'})
	first = first[:min(len(first), maxShebang)]
	// A carriage return is part of the name, which the kernel does not find then.
	shebang := strings.Trim(strings.TrimPrefix(string(first), "#!"), " \t")
	shebang = strings.ToValidUTF8(strings.ReplaceAll(shebang, "\x00", ""), "")
	if !IsShell(shebang) {
		return shebang
	}
	var b strings.Builder
	b.WriteString(shebang)
	for _, words := range Commands(string(body)) {
		b.WriteByte('\n')
		b.WriteString(strings.Join(words, "\x00"))
	}
	return b.String()
}

// SplitScript takes apart what [ParseScript] returned.
func SplitScript(text string) (shebang []string, commands [][]string) {
	lines := strings.Split(text, "\n")
	for _, line := range lines[1:] {
		commands = append(commands, strings.Split(line, "\x00"))
	}
	return strings.FieldsFunc(lines[0], func(c rune) bool { return c == ' ' || c == '\t' }), commands
}

// IsShell tells whether a command line runs a POSIX shell.
func IsShell(command string) bool {
	for _, word := range strings.Fields(command) {
		switch path.Base(word) {
		case "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox":
			return true
		case "env", "-S", "-e", "-i":
		default:
			return false
		}
	}
	return false
}

// Commands returns the commands of a shell script that are sure to name a program:
// those after exec, and those that begin with a path. It is no shell: what is in
// functions and branches counts as well, and what is put together at run time
// does not.
func Commands(body string) [][]string {
	var list [][]string
	size := 0
	body = strings.ReplaceAll(body, "\\\n", " ")
	for line := range strings.Lines(body) {
		for _, words := range simpleCommands(line) {
			runs := words[0] == "exec"
			if runs {
				words = words[1:]
			}
			if len(words) == 0 || !runs && !strings.HasPrefix(words[0], "/") {
				continue
			}
			words = words[:min(len(words), maxWords)]
			size += len(strings.Join(words, " "))
			if len(list) == maxCommands || size > maxText/2 {
				return list
			}
			list = append(list, words)
		}
	}
	return list
}

// CommandLine returns all commands of what follows sh -c.
func CommandLine(text string) [][]string {
	var list [][]string
	for line := range strings.Lines(text[:min(len(text), scriptSize)]) {
		for _, words := range simpleCommands(line) {
			if words[0] == "exec" {
				words = words[1:]
			}
			if len(words) > 0 && len(list) < maxCommands {
				list = append(list, words[:min(len(words), maxWords)])
			}
		}
	}
	return list
}

// simpleCommands splits a line into commands, and those into words. Quotes are
// taken away. Words of the shell that may stand before a command are too.
func simpleCommands(line string) [][]string {
	var list [][]string
	var words []string
	flush := func() {
		for len(words) > 0 {
			switch words[0] {
			case "then", "do", "else", "if", "while", "until", "!", "{", "time", "elif":
				words = words[1:]
				continue
			}
			list = append(list, words)
			break
		}
		words = nil
	}
	var word strings.Builder
	var quote rune
	inWord := false
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	for _, c := range line {
		switch {
		case c == 0, quote != 0 && c == '\n':
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == '#' && !inWord:
			flush()
			return list
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			end()
		case strings.ContainsRune(";|&()", c):
			end()
			flush()
		default:
			inWord = true
			word.WriteRune(c)
		}
		if word.Len() > maxWord {
			return list // no command that a person wrote
		}
	}
	end()
	flush()
	return list
}
