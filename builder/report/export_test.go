package report

// What the tests of the package look at.
var (
	Visible     = visible
	Words       = duration
	ByteSize    = byteSize
	Instruction = instruction
)
