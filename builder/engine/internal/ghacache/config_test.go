package ghacache_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/engine/internal/ghacache"
)

func TestParseConfig(t *testing.T) {
	const results = "https://results-receiver.actions.githubusercontent.com/"
	for name, test := range map[string]struct {
		attrs map[string]string
		want  ghacache.Config // zero is an error
	}{
		"v1":            {map[string]string{"token": "t", "url": "u"}, ghacache.Config{Scope: "buildkit", URL: "u", Token: "t", Timeout: 10 * time.Minute}},
		"v2":            {map[string]string{"token": "t", "url": "u", "url_v2": "v", "scope": "s"}, ghacache.Config{Scope: "s", URL: "v", Token: "t", V2: true, Timeout: 10 * time.Minute}},
		"v1 asked for":  {map[string]string{"token": "t", "url": "u", "url_v2": "v", "version": "1"}, ghacache.Config{Scope: "buildkit", URL: "u", Token: "t", Timeout: 10 * time.Minute}},
		"v2 by its URL": {map[string]string{"token": "t", "url": results, "timeout": "5s"}, ghacache.Config{Scope: "buildkit", URL: results, Token: "t", V2: true, Timeout: 5 * time.Second}},
		"no token":      {map[string]string{"url": "u"}, ghacache.Config{}},
		"no URL":        {map[string]string{"token": "t"}, ghacache.Config{}},
		"version":       {map[string]string{"token": "t", "url": "u", "version": "x"}, ghacache.Config{}},
		"timeout":       {map[string]string{"token": "t", "url": "u", "timeout": "x"}, ghacache.Config{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ghacache.ParseConfig(test.attrs)
			if test.want == (ghacache.Config{}) {
				if err == nil {
					t.Errorf("got %+v, want an error", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
