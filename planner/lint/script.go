package lint

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxScript and maxDepth bound what is parsed: the parser calls itself for every
// bracket.
const (
	maxScript = 64 << 10
	maxDepth  = 100
)

// unknown stands for what only the shell knows.
const unknown = "\x00"

// script is what the rules want to know about a shell script.
type script struct {
	text     string
	calls    []*call
	assigns  []*syntax.Assign
	params   []*syntax.ParamExp
	assigned map[string]int          // how often, by name
	fixed    map[string]*syntax.Word // assigned once, whatever happens
	dynamic  bool                    // may set variables that cannot be seen
	asks     bool                    // asks for the machine that it runs on
}

// call is a command with its arguments, without sudo and the like.
type call struct {
	name    string
	args    []*syntax.Word
	assigns []*syntax.Assign
}

// parseScript reads a script, nil if that is impossible or not wise.
func parseScript(text string) *script {
	if text == "" || len(text) > maxScript || depth(text) > maxDepth {
		return nil
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil
	}
	s := &script{text: text, assigned: make(map[string]int), fixed: make(map[string]*syntax.Word)}
	syntax.Walk(file, func(node syntax.Node) bool {
		s.visit(node)
		return true
	})
	for _, stmt := range file.Stmts {
		s.certain(stmt)
	}
	s.asks = s.asks || asks(text)
	return s
}

// asks reports whether a script has one of the ways to ask for the machine.
func asks(text string) bool {
	return slices.ContainsFunc([]string{
		"uname", "print-arch", "dpkg-architecture", "dumpmachine", "lscpu", "getconf", "HOSTTYPE", "MACHTYPE", "process.arch",
		"platform.machine", "%_arch", "%{_arch", "rustc -vV", "print host", "go env", "/proc/cpuinfo", "/etc/apk/arch",
	}, func(way string) bool { return strings.Contains(text, way) })
}

// depth is a bound for how deep brackets and compound commands are nested.
func depth(text string) int {
	deepest, now := 0, 0
	for _, c := range []byte(text) {
		switch c {
		case '(', '{', '[', '`':
			now++
			deepest = max(deepest, now)
		case ')', '}', ']':
			now = max(now-1, 0)
		case '\n':
			now = max(now-now/8, 0)
		}
	}
	words := 0
	for word := range strings.FieldsSeq(text) {
		switch strings.Trim(word, ";&|") {
		case "if", "while", "until", "for", "case", "select", "!", "time", "coproc", "function":
			words++
		case "fi", "done", "esac":
			words = max(words-1, 0)
		}
		deepest = max(deepest, words)
	}
	return deepest
}

func (s *script) visit(node syntax.Node) {
	switch n := node.(type) {
	case *syntax.CallExpr:
		for _, a := range n.Assigns {
			s.assign(a)
		}
		if len(n.Args) > 0 {
			s.call(n)
		}
	case *syntax.DeclClause:
		for _, a := range n.Args {
			if a.Naked && a.Value != nil {
				s.dynamic = s.dynamic || n.Variant.Value != "local" && !isLiteral(a.Value)
				continue
			}
			if !a.Naked {
				s.assign(a)
			}
		}
	case *syntax.WordIter:
		s.assigned[n.Name.Value] += 2
	case *syntax.ParamExp:
		if n.Param == nil {
			return
		}
		s.params = append(s.params, n)
		if n.Exp != nil && (n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull) {
			s.assigned[n.Param.Value] += 2
		}
	case *syntax.LetClause, *syntax.ArithmCmd:
		s.dynamic = true
	}
}

func isLiteral(w *syntax.Word) bool {
	return w.Lit() != ""
}

func (s *script) assign(a *syntax.Assign) {
	if a.Name != nil {
		s.assigned[a.Name.Value]++
		s.assigns = append(s.assigns, a)
	}
}

func (s *script) call(n *syntax.CallExpr) {
	c := &call{name: path.Base(n.Args[0].Lit()), args: n.Args[1:], assigns: n.Assigns}
	for {
		switch c.name {
		case "sudo", "exec", "command", "time", "nice", "env", "xargs", "eatmydata", "then":
			skipped := 0
			for skipped < len(c.args) {
				word := text(c.args[skipped])
				if name, _, ok := strings.Cut(word, "="); ok && !strings.HasPrefix(word, "-") {
					s.assign(setting(c.args[skipped], name))
				} else if !strings.HasPrefix(word, "-") {
					break
				}
				skipped++
			}
			if skipped == len(c.args) {
				s.add(c)
				return
			}
			c.name, c.args = path.Base(c.args[skipped].Lit()), c.args[skipped+1:]
			continue
		}
		s.add(c)
		return
	}
}

// setting turns NAME=VALUE among the arguments of env into an assignment.
func setting(w *syntax.Word, name string) *syntax.Assign {
	first, ok := w.Parts[0].(*syntax.Lit)
	if !ok || !strings.HasPrefix(first.Value, name+"=") {
		return &syntax.Assign{}
	}
	value := &syntax.Word{Parts: slices.Clone(w.Parts)}
	value.Parts[0] = &syntax.Lit{Value: strings.TrimPrefix(first.Value, name+"=")}
	return &syntax.Assign{Name: &syntax.Lit{Value: name}, Value: value}
}

func (s *script) add(c *call) {
	s.calls = append(s.calls, c)
	switch c.name {
	case ".", "source", "eval":
		s.dynamic = true
	case "arch":
		s.asks = true
	case "read", "getopts", "mapfile", "readarray", "printf":
		for _, arg := range c.args {
			s.assigned[arg.Lit()] += 2
		}
	}
}

// certain finds what is assigned whatever happens: not in a branch.
func (s *script) certain(stmt *syntax.Stmt) {
	switch cmd := stmt.Cmd.(type) {
	case *syntax.BinaryCmd:
		if cmd.Op == syntax.AndStmt {
			s.certain(cmd.X)
			s.certain(cmd.Y)
		}
	case *syntax.CallExpr:
		if len(cmd.Args) > 0 {
			return
		}
		for _, a := range cmd.Assigns {
			s.fix(a)
		}
	case *syntax.DeclClause:
		for _, a := range cmd.Args {
			s.fix(a)
		}
	}
}

func (s *script) fix(a *syntax.Assign) {
	if a.Name != nil && !a.Append && a.Value != nil && a.Index == nil && s.assigned[a.Name.Value] == 1 {
		s.fixed[a.Name.Value] = a.Value
	}
}

// render returns a word as the shell will see it, as far as that is known.
func (s *script) render(w *syntax.Word, known func(string) (string, bool)) string {
	var b strings.Builder
	if w != nil {
		s.parts(&b, w.Parts, known, 0)
	}
	return b.String()
}

// maxWord bounds what variables make of one word.
const maxWord = 4 << 10

func (s *script) parts(b *strings.Builder, parts []syntax.WordPart, known func(string) (string, bool), level int) {
	for _, part := range parts {
		if b.Len() > maxWord {
			return
		}
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(strings.ReplaceAll(p.Value, "\\", ""))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			s.parts(b, p.Parts, known, level)
		case *syntax.ParamExp:
			s.param(b, p, known, level)
		default:
			b.WriteString(unknown)
		}
	}
}

func (s *script) param(b *strings.Builder, p *syntax.ParamExp, known func(string) (string, bool), level int) {
	if plain(p) {
		if word := s.fixed[p.Param.Value]; word != nil && level < 8 {
			s.parts(b, word.Parts, known, level+1)
			return
		}
		if value, ok := known(p.Param.Value); ok && s.assigned[p.Param.Value] == 0 {
			b.WriteString(value)
			return
		}
	}
	b.WriteString(unknown)
}

// plain reports whether a parameter is used as it is.
func plain(p *syntax.ParamExp) bool {
	return p.Param != nil && p.Exp == nil && p.Repl == nil && p.Slice == nil && p.Index == nil && !p.Length && !p.Excl
}

// text returns what is literal in a word.
func text(w *syntax.Word) string {
	return (&script{}).render(w, func(string) (string, bool) { return "", false })
}

// adapts reports whether a script does different things on different machines:
// it asks for the machine, or uses a variable that may tell.
func (s *script) adapts(known func(string) (string, bool)) bool {
	if s.asks {
		return true
	}
	return slices.ContainsFunc(s.params, func(p *syntax.ParamExp) bool {
		return s.tells(p.Param.Value, known)
	})
}

// tells reports whether a variable may depend on the platform.
func (s *script) tells(name string, known func(string) (string, bool)) bool {
	if !archish(name) {
		return false
	}
	if word := s.fixed[name]; word != nil {
		return strings.Contains(s.render(word, known), unknown)
	}
	_, ok := known(name)
	return !ok || s.assigned[name] > 0
}

// archish reports whether the name of a variable speaks of a platform.
func archish(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{"arch", "platform", "machine", "variant", "cpu", "tripl", "target", "host", "bits", "suffix", "flavo"}, func(part string) bool {
		return strings.Contains(lower, part)
	})
}
