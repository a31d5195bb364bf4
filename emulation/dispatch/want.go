package dispatch

// WantStatus starts the id of a progress status that carries a [Want] as its name, as
// [StepStatus] does.
const WantStatus = "mabuild.want/"

// Want is what the engine tells the client of an emulated step that has run for some
// seconds and could have had more native tools, as JSON: once, and a second time if it
// goes on for long.
type Want struct {
	// Architecture is that of the step's programs, as images call it.
	Architecture string `json:"architecture"`
	// Suites are the releases, as emulation/toolbox names them, that the step's root
	// file system is of and that there is no toolbox for.
	Suites []string `json:"suites"`
	// Long is set the second time: what takes long to make is worth it.
	Long bool `json:"long,omitempty"`
}
