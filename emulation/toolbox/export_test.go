package toolbox

// For the tests.
var (
	ParsePackages    = parsePackages
	IsTwin           = isTwin
	ReadProgram      = readProgram
	RelocateCompiler = relocateCompiler
	ReplaceString    = replaceString
	ParseRelease     = parseRelease
	ParseGoVersion   = parseGoVersion
	VersionOf        = versionOf
)

// IsNativeOn reports whether a tool may run natively on a target, as Debian calls it.
func IsNativeOn(target, pkg, name string) bool {
	m, err := byDebian(target)
	_, ok := ruleFor(m, pkg, name)
	return err == nil && ok
}

// CheckLimits makes the rules of a line of the policy.
func CheckLimits(rule Rule, arch string) error {
	_, err := limitsOf(rule, &Box{Arch: arch, Host: "amd64"}, new(Tool))
	return err
}

// BuildIDOf is what the reader of programs finds.
func BuildIDOf(data []byte) (string, error) {
	p, err := readProgram(data)
	return p.buildID, err
}

// BindLoader binds a program to the slot t.
func BindLoader(data []byte) error {
	p, err := readProgram(data)
	if err != nil {
		return err
	}
	return bindLoader(data, p, "t")
}

// BindDirectories binds a loader for amd64 to the slot t.
func BindDirectories(data []byte) error {
	host, err := byArch("amd64")
	if err != nil {
		return err
	}
	return bindDirectories(data, host, "t")
}
