package assist

import "bytes"

// InsertFlags is what Apply does with the text.
var InsertFlags = insertFlags

// RunLines are the lines whose RUN can get flags.
func RunLines(text []byte) []int {
	f, err := parseFile(text)
	if err != nil {
		return nil
	}
	var lines []int
	for line := range f.runs {
		lines = append(lines, line)
	}
	return lines
}

// ReadLayer reads a layer without its compression, and checks the outcome.
func ReadLayer(body []byte) (Tree, error) {
	f := filter{content: []string{versionFile}, below: []string{goroot + "/pkg/tool/linux_arm64"}}
	tree, _, err := readTar(bytes.NewReader(body), f)
	return tree, err
}
