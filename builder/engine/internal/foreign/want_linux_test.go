package foreign

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/util/progress"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// TestSendAtOnce: of steps that end before the client was told of any, it hears of all.
func TestSendAtOnce(t *testing.T) {
	reader, ctx, end := progress.NewContext(t.Context())
	want := []string{"first", "second", "third"}
	for _, text := range want {
		send(ctx, dispatch.StepStatus, time.Now(), []byte(text))
	}
	end(nil)
	var got []string
	for {
		statuses, err := reader.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range statuses {
			got = append(got, status.Sys.(progress.Status).Action)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-sent +read):\n%s", diff)
	}
}
