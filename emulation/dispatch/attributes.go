package dispatch

// The frontend attributes by which a build says what its emulated steps get.
const (
	// AssistAttribute is one of the values below; without it, it is [AssistProven].
	AssistAttribute = "mabuild.assist"
	// AccountingAttribute is "off" where nobody wants to know where the time went.
	AccountingAttribute = "mabuild.accounting"
)

// The values of [AssistAttribute].
const (
	AssistOff    = "off"    // QEMU alone
	AssistProven = "proven" // tools that write the same bytes as the target's own
	AssistAll    = "all"    // those that are opted in to as well; the cache keys differ
)
