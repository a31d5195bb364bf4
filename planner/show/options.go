package show

import (
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
	"github.com/mabuild/mabuild/planner/pin"
)

// Options say how to write a plan. The zero value is good for all but SARIF, which
// wants Version and Rules.
type Options struct {
	// File names the Dockerfile.
	File string

	// ASCII avoids characters that some terminals do not have.
	ASCII bool

	// Width is the number of columns of the screen; zero is 100, and less than
	// 40 is taken for 40.
	Width int

	// Forecast is what is known of how long steps take. Without it, nothing is
	// said about time.
	Forecast *history.Forecast

	// Assists says of every emulated command whether it gets native tools, as
	// assist.Plan has it for the same plan. Without it, nothing is said about that.
	Assists []assist.Step

	// Pins says of every stage whether it could run on the build platform, as
	// pin.Candidates has it. It is shown if anything is emulated.
	Pins []pin.Stage

	// Tools says what native tools there are for a program that QEMU ran, by its name,
	// in words that go behind it and a colon. It is asked about the programs of
	// Forecast that took most time; nothing is said where it returns nothing.
	Tools func(program string) string

	// Version is that of the program, for SARIF.
	Version string

	// Rules describe what findings are about, for SARIF. A rule that is not
	// among them is described as its findings are.
	Rules []Rule

	// Root is the directory that the paths in SARIF are relative to, which is to
	// be that of the repository. Empty means the current directory.
	Root string
}

// Rule describes a rule.
type Rule struct {
	Name    string
	Level   exact.Level // of most findings
	Summary string      // one sentence
	URL     string      // of the page about the rule
}

// complete fills in defaults.
func (o Options) complete() Options {
	if o.Width == 0 {
		o.Width = 100
	}
	o.Width = max(o.Width, 40)
	return o
}

// marks are the characters of a screen.
type marks struct{ native, emulated, assisted, shared, impossible, unused, dot, ellipsis, inherit, spread string }

func (o Options) marks() marks {
	if o.ASCII {
		return marks{"*", "^", "+", "=", "x", "-", "|", "...", "`-", "+-"}
	}
	return marks{"●", "▲", "◆", "=", "✗", "—", "·", "…", "└", "±"}
}
