package script

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Command is a simple command of a shell script.
type Command struct {
	// Words are the command and its arguments. Quotes are removed. What a word gets
	// when it runs stays as it is written, as in "$HOME/bin".
	Words []string
	// Assigns are NAME=VALUE before the command, or of export and the like.
	Assigns []string
	// Redirects are the files that output goes to.
	Redirects []string
}

// Name is the command without its directory.
func (c Command) Name() string {
	if len(c.Words) == 0 {
		return ""
	}
	return path.Base(c.Words[0])
}

// shells read their commands in the language that the parser knows.
var shells = map[string]syntax.LangVariant{
	"sh": syntax.LangPOSIX, "ash": syntax.LangPOSIX, "dash": syntax.LangPOSIX, "bash": syntax.LangBash, "ksh": syntax.LangMirBSDKorn,
}

// Read reads the command line of a process. Opaque is set if it is a script
// in a language that isn't known.
func Read(args []string) (commands []Command, opaque bool) {
	if len(args) == 0 {
		return nil, true
	}
	lang, isShell := shells[path.Base(args[0])]
	if !isShell {
		// BuildKit runs a here-document with "#!" from a file of its own.
		return []Command{{Words: args}}, strings.HasPrefix(args[0], "/dev/pipes/")
	}
	for i, arg := range args[1:] {
		if strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.HasSuffix(arg, "c") && i+2 < len(args) {
			return parseShell(args[i+2], lang)
		}
		if !strings.HasPrefix(arg, "-") && !slices.Contains([]string{"pipefail", "errexit", "nounset", "xtrace"}, arg) {
			break
		}
	}
	return []Command{{Words: args}}, false // sh script
}

// parseShell lists the simple commands of a script, also those in functions,
// substitutions and conditions.
func parseShell(text string, lang syntax.LangVariant) ([]Command, bool) {
	file, err := syntax.NewParser(syntax.Variant(lang)).Parse(strings.NewReader(text), "")
	if err != nil && lang != syntax.LangBash {
		// Many images have bash as sh.
		file, err = syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	}
	if err != nil {
		return nil, true
	}
	w := walker{text: text, redirects: map[*syntax.CallExpr][]string{}}
	syntax.Walk(file, w.visit)
	return w.commands, false
}

type walker struct {
	text      string
	commands  []Command
	redirects map[*syntax.CallExpr][]string
}

func (w *walker) visit(node syntax.Node) bool {
	switch n := node.(type) {
	case *syntax.Stmt:
		var files []string
		for _, r := range n.Redirs {
			if r.Word != nil && r.Op != syntax.Hdoc && r.Op != syntax.DashHdoc && r.Op != syntax.WordHdoc && r.Op != syntax.RdrIn {
				files = append(files, w.word(r.Word))
			}
		}
		if call, ok := n.Cmd.(*syntax.CallExpr); ok {
			w.redirects[call] = files
		} else if len(files) > 0 {
			w.commands = append(w.commands, Command{Redirects: files})
		}
	case *syntax.CallExpr:
		c := Command{Redirects: w.redirects[n]}
		for _, a := range n.Assigns {
			c.Assigns = append(c.Assigns, w.assign(a))
		}
		for _, word := range n.Args {
			c.Words = append(c.Words, w.word(word))
		}
		w.commands = append(w.commands, c)
	case *syntax.DeclClause:
		c := Command{Words: []string{n.Variant.Value}}
		for _, a := range n.Args {
			c.Assigns = append(c.Assigns, w.assign(a))
		}
		w.commands = append(w.commands, c)
	}
	return true
}

func (w *walker) assign(a *syntax.Assign) string {
	switch {
	case a.Name == nil || a.Array != nil:
		return w.source(a)
	case a.Value == nil:
		return a.Name.Value + "="
	}
	return a.Name.Value + "=" + w.word(a.Value)
}

func (w *walker) source(node syntax.Node) string {
	from, to := int(node.Pos().Offset()), int(node.End().Offset())
	if from > to || to > len(w.text) {
		return ""
	}
	return w.text[from:to]
}

// word removes quotes and leaves variables and substitutions as they are written.
func (w *walker) word(word *syntax.Word) string {
	var b strings.Builder
	w.parts(&b, word.Parts)
	return b.String()
}

func (w *walker) parts(b *strings.Builder, parts []syntax.WordPart) {
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(unescape(p.Value))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			w.parts(b, p.Parts)
		default:
			b.WriteString(w.source(part))
		}
	}
}

func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
			if text[i] == '\n' {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// wrappers run the command that follows among their arguments.
var wrappers = []string{
	"sudo", "env", "time", "exec", "nice", "ionice", "xargs", "command", "builtin", "nohup", "timeout", "gosu", "su-exec", "chroot",
	"setarch", "linux32", "linux64", "stdbuf", "flock", "retry", "if", "then", "tini", "dumb-init", "eval", "watch", "parallel",
}

// Calls reports whether the command is one of the names, or hands one of them to a
// wrapper.
func (c Command) Calls(names ...string) bool {
	if slices.Contains(names, c.Name()) {
		return true
	}
	if !slices.Contains(wrappers, c.Name()) && !shellLike(c) && c.Name() != "find" {
		return false
	}
	for _, word := range c.Words[1:] {
		for field := range strings.FieldsSeq(word) {
			if slices.Contains(names, path.Base(strings.Trim(field, `'";&|()`))) {
				return true
			}
		}
	}
	return false
}

func shellLike(c Command) bool {
	_, ok := shells[c.Name()]
	return ok
}

// Scripted reports whether the command runs something that isn't in the image's own
// directories of programs, or a text of commands: who knows what that calls.
func (c Command) Scripted() bool {
	if len(c.Words) == 0 {
		return false
	}
	first := c.Words[0]
	switch {
	case strings.ContainsAny(first, "$`"), shellLike(c), first == ".", first == "source":
		return true
	case slices.Contains([]string{"python", "python3", "perl", "ruby", "node", "npm", "yarn", "pnpm"}, c.Name()):
		return true
	case !strings.Contains(first, "/"):
		return slices.Contains(wrappers, first) && slices.ContainsFunc(c.Words[1:], func(word string) bool {
			return strings.ContainsAny(word, "$`") || strings.HasPrefix(word, "./") || strings.HasSuffix(word, ".sh")
		})
	}
	dir := path.Dir(first)
	return !slices.Contains([]string{"/bin", "/sbin", "/usr/bin", "/usr/sbin"}, dir)
}
