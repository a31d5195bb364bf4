package dispatch

import (
	"fmt"
	"strings"
)

// FormatRules returns the contents of the file [RulesName] for a tool, a line each:
//
//	set NAME            the variable has a value
//	unset NAME          the variable is not in the environment
//	script WORD...      the first argument that is no option is by its base name one of
//	                    these, and so is every option before it; a word that ends with
//	                    = stands for all that begin with it
//	refuse TEXT         no argument begins with this
//	beside TEXT SUFFIX  the argument behind TEXT names a file that has none beside it
//	                    by the same name with the suffix
//	files               an argument @FILE stands for those in the file
//	only PATH [NAME]    the directory, if it is there, has no other file
//	plugin BUILD-ID     the linker's plugin that the toolbox's own may stand for
//
// A tool whose rules are not all kept is not executed. Rules that the stub would not
// know are an error: with them, it never would be.
func FormatRules(rules []string) ([]byte, error) {
	var text strings.Builder
	for _, rule := range rules {
		if err := checkRule(rule); err != nil {
			return nil, err
		}
		text.WriteString(rule + "\n")
	}
	if text.Len() > MaxRules {
		return nil, fmt.Errorf("writing rules of %d bytes: the stub reads no more than %d; write fewer", text.Len(), MaxRules)
	}
	return []byte(text.String()), nil
}

func checkRule(rule string) error {
	word, operands, _ := strings.Cut(rule, " ")
	count := len(strings.Fields(operands))
	known := false
	switch word {
	case "set", "unset":
		known = count == 1 && !strings.Contains(operands, "=")
	case "refuse", "plugin":
		known = count == 1
	case "script":
		known = count > 0
	case "beside":
		known = count == 2
	case "files":
		known = rule == "files"
	case "only":
		known = (count == 1 || count == 2) && strings.HasPrefix(operands, "/")
	}
	// One space between words, and nothing that ends a line or a text.
	if !known || strings.Join(strings.Fields(rule), " ") != rule || strings.ContainsRune(rule, 0) {
		return fmt.Errorf("writing the rule %q: the stub knows none like it; see FormatRules for those it knows", rule)
	}
	return nil
}
