package ci

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Results are what the steps after a build may want to know.
type Results struct {
	// Digest is that of the index, or of the one image; ImageID that of its
	// configuration, or the digest where there are several.
	Digest, ImageID string
	// Metadata is the file of --metadata-file.
	Metadata string
	// Names are the references of the result.
	Names     []string
	Platforms []PlatformResult
}

// PlatformResult is what became of one platform.
type PlatformResult struct {
	Platform string  `json:"platform"`
	Digest   string  `json:"digest,omitempty"`
	Size     int64   `json:"size,omitempty"` // of the manifest
	Seconds  float64 `json:"seconds"`
	Emulated int     `json:"emulated"` // commands
	Assisted int     `json:"assisted"` // of those, with native tools
	Cached   int     `json:"cached"`   // steps
	Node     string  `json:"node,omitempty"`
	Retries  int     `json:"retries,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// Output is one result by its name.
type Output struct{ Name, Value string }

// Outputs are the results under the names that they have in GitHub Actions: digest,
// imageid, metadata, platforms (a JSON list) and digest-linux-arm64 and the like. What
// there is none of is empty.
func (r Results) Outputs() ([]Output, error) {
	list := r.Platforms
	if list == nil {
		list = []PlatformResult{}
	}
	body, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("writing the results of platforms: %w", err)
	}
	out := []Output{{"digest", r.Digest}, {"imageid", r.ImageID}, {"metadata", r.Metadata}, {"platforms", string(body)}}
	for _, p := range r.Platforms {
		if p.Digest != "" {
			out = append(out, Output{"digest-" + strings.ReplaceAll(p.Platform, "/", "-"), p.Digest})
		}
	}
	return out, nil
}

// WriteGitHub writes a file like that of GITHUB_OUTPUT. Values stand between lines with
// a delimiter that nobody can guess, such as rand.Text gives, and that must not be in
// any of them.
func WriteGitHub(w io.Writer, delimiter string, outputs []Output) error {
	delimiter = "ghadelimiter_" + delimiter
	for _, o := range outputs {
		if strings.Contains(o.Name, delimiter) || strings.Contains(o.Value, delimiter) {
			return fmt.Errorf("writing the output %q: it holds the delimiter %s; use a random one for every file", o.Name, delimiter)
		}
		if _, err := fmt.Fprintf(w, "%s<<%s\n%s\n%s\n", o.Name, delimiter, o.Value, delimiter); err != nil {
			return fmt.Errorf("writing the output %q: %w", o.Name, err)
		}
	}
	return nil
}

// The limits of GitLab's dotenv reports.
const (
	MaxDotenv          = 5 << 10
	MaxDotenvVariables = 20
)

// WriteDotenv writes a report of GitLab's kind: MABUILD_DIGEST,
// MABUILD_DIGEST_LINUX_ARM64 and so on. Values have one line, so JSON is made
// compact. It returns the names of what did not fit, the largest first.
func WriteDotenv(w io.Writer, outputs []Output) (left []string, err error) {
	var lines []Output
	for _, o := range outputs {
		name := "MABUILD_" + strings.Map(func(c rune) rune {
			if c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
				return c
			}
			return '_'
		}, strings.ToUpper(o.Name))
		lines = append(lines, Output{name, singleLine(o.Value)})
	}
	kept, left := within(lines, MaxDotenv, MaxDotenvVariables, func(o Output) int { return len(o.Name) + len("=\n") + len(o.Value) })
	for _, o := range kept {
		if _, err := fmt.Fprintf(w, "%s=%s\n", o.Name, o.Value); err != nil {
			return left, fmt.Errorf("writing %s: %w", o.Name, err)
		}
	}
	return left, nil
}

// singleLine makes JSON compact, and takes the ends of lines from what is not JSON.
func singleLine(value string) string {
	var raw json.RawMessage
	if json.Unmarshal([]byte(value), &raw) == nil {
		if compact, err := json.Marshal(raw); err == nil {
			return string(compact)
		}
	}
	return strings.Join(strings.Fields(value), " ")
}

// within leaves out the largest of what does not fit.
func within(outputs []Output, most, number int, size func(Output) int) (kept []Output, left []string) {
	kept = slices.DeleteFunc(slices.Clone(outputs), func(o Output) bool { return o.Value == "" })
	for {
		total := 0
		for _, o := range kept {
			total += size(o)
		}
		if total <= most && len(kept) <= number {
			return kept, left
		}
		at := 0
		for i := range kept {
			if cmp.Compare(size(kept[i]), size(kept[at])) >= 0 {
				at = i // of several that are equal, the last
			}
		}
		left = append(left, kept[at].Name)
		kept = slices.Delete(kept, at, at+1)
	}
}

// MaxTekton is how many bytes all results of a Tekton task may have. They are in a
// termination message of 4096 bytes, with the results of the other steps and what
// Tekton says of each in JSON.
const MaxTekton = 3 << 10

// Tekton returns the results as files of the directory of results, that of
// $(results.NAME.path): those that others have, and IMAGE_URL and IMAGE_DIGEST, by
// which Tekton Chains finds what to sign. A task gets those of them that it declares.
// It returns the names of what did not fit, the largest first.
func (r Results) Tekton() (files []Output, left []string, err error) {
	outputs, err := r.Outputs()
	if err != nil {
		return nil, nil, err
	}
	if r.Digest != "" && len(r.Names) > 0 {
		outputs = append([]Output{{"IMAGE_URL", r.Names[0]}, {"IMAGE_DIGEST", r.Digest}}, outputs...)
	}
	for i, o := range outputs {
		outputs[i].Value = singleLine(o.Value)
	}
	// {"key":"…","value":"…","type":1} and the quotes of JSON inside.
	files, left = within(outputs, MaxTekton, len(outputs), func(o Output) int {
		return len(o.Name) + len(o.Value) + strings.Count(o.Value, `"`) + 35
	})
	return files, left, nil
}

// BuildkiteMetaData returns the command lines that keep the results as meta-data of the build,
// for the steps that follow. Nothing is run.
func BuildkiteMetaData(outputs []Output) [][]string {
	var commands [][]string
	for _, o := range outputs {
		if o.Value != "" {
			commands = append(commands, []string{"buildkite-agent", "meta-data", "set", "mabuild:" + o.Name, singleLine(o.Value)})
		}
	}
	return commands
}

// Describe writes results as commands, for systems that take
// them there: TeamCity and Azure.
func (l *Log) Describe(outputs []Output) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range outputs {
		value := l.secrets.Mask(singleLine(o.Value))
		switch {
		case value == "" || l.closed:
		case l.system == TeamCity:
			l.put(teamcityMessage("setParameter", "name", "mabuild."+o.Name, "value", value))
		case l.system == Azure:
			name := "mabuild." + strings.ReplaceAll(o.Name, "-", "_") // a hyphen is not allowed there
			l.put(azureCommand("task.setvariable", value, "variable", name, "isOutput", "true"))
		}
	}
}
