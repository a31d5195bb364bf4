package foreign

import (
	"bytes"
	"strings"
)

// upperDir returns the directory that gets what is written to the overlay file system
// at a mount point, by /proc/self/mountinfo, proc_pid_mountinfo(5). It is empty if
// there is none: another file system, or one that is read-only. Of several mounts at
// one point the last is what is seen.
func upperDir(mountinfo []byte, point string) string {
	upper := ""
	for line := range bytes.Lines(mountinfo) {
		before, after, found := strings.Cut(string(bytes.TrimRight(line, "\n")), " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		// ID, parent, device, root, mount point, options - type, source, options
		if !found || len(mount) < 6 || unescape(mount[4]) != point {
			continue
		}
		upper = ""
		if len(kind) < 3 || kind[0] != "overlay" {
			continue
		}
		for option := range strings.SplitSeq(kind[2], ",") {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok {
				upper = unescape(dir)
			}
		}
	}
	return upper
}

// unescape undoes what the kernel does with spaces, tabs, newlines, backslashes and
// some more in mountinfo: a backslash and three octal digits.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) && isOctal(text[i+1:i+4]) {
			out.WriteByte((text[i+1]-'0')<<6 | (text[i+2]-'0')<<3 | (text[i+3] - '0'))
			i += 3
			continue
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

func isOctal(text string) bool {
	return text[0] <= '3' && strings.Trim(text, "01234567") == ""
}
