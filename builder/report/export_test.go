package report

// What the tests of the package look at.
var (
	Visible     = visible
	Instruction = instruction
)
