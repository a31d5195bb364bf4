package dispatch

// The frontend attributes by which a build says what its emulated steps get.
const (
	// AssistAttribute is one of the values below; without it, it is [AssistProven].
	AssistAttribute = "mabuild.assist"
	// AssistVerifyAttribute is the part of the steps with native tools that run once
	// more without, to be compared: see [ParseShare]. Without it, none does.
	AssistVerifyAttribute = "mabuild.assist-verify"
	// AccountingAttribute is "off" where nobody wants to know where the time went.
	AccountingAttribute = "mabuild.accounting"
)

// The values of [AssistAttribute].
const (
	AssistOff    = "off"    // QEMU alone
	AssistProven = "proven" // tools that write the same bytes as the target's own
	AssistAll    = "all"    // those that are opted in to as well; the cache keys differ
)

// ToolFilter and a build-id are the filter by which BuildKit's DiskUsage and Prune are
// about the cache records of the steps that a tool ran in, and all that was made from
// those.
const ToolFilter = "mabuild.tool=="
