package exact_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCopied says where the files of a stage get to in the image.
func TestCopied(t *testing.T) {
	t.Parallel()
	const build = "FROM base AS build\nRUN make\nFROM base AS other\nRUN make\n"
	tests := map[string]string{ // the last stage, and what it has from build
		"FROM scratch\nCOPY --from=build /out/app /usr/bin/app":                   "usr/bin/app usr/bin/app/**",
		"FROM scratch\nCOPY --from=0 /out/app /usr/bin/":                          "usr/bin/app usr/bin/app/**",
		"FROM scratch\nCOPY --link --from=Build /out/a /out/b /srv/":              "srv/a srv/a/** srv/b srv/b/**",
		"FROM scratch\nCOPY --from=build /out /":                                  "out out/**",
		"FROM scratch\nWORKDIR /app\nCOPY --from=build /out/x bin/y":              "**/bin/y **/bin/y/**",
		"FROM scratch AS root\nCOPY --from=build /a /b\nFROM root\nCOPY x /":      "b b/**",
		"FROM scratch\nCOPY --from=other /out/app /app":                           "",
		"FROM scratch\nCOPY --from=base /out/app /app":                            "",
		"FROM scratch AS unused\nCOPY --from=build /a /b\nFROM scratch\nCOPY . /": "",
	}
	for last, want := range tests {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			r := plan(t, options(t, build+last+"\n"))
			got := r.Copied(func(stage string) bool { return stage == "build" })
			if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
				t.Errorf("globs (-want +got):\n%s", diff)
			}
		})
	}
}
