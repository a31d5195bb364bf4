package history_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/history"
)

// record is one of a build with some runs.
func record(build string, runs int) history.Record {
	r := history.Record{Time: time.Unix(1764102919, 0), Build: build, Builder: "engine", CPUs: 2, Jobs: 1}
	for i := range runs {
		r.Runs = append(r.Runs, history.Run{
			ID: digest.FromString(fmt.Sprint(build, i)), Stage: "build", Instruction: fmt.Sprint("i", i), ExecPlatform: "linux/arm64",
			Emulated: i%2 == 0, Duration: time.Duration(i) * time.Millisecond,
		})
	}
	return r
}

func load(t testing.TB, s history.Store, project string) []history.Record {
	t.Helper()
	past, err := s.Load(project)
	if err != nil {
		t.Fatal(err)
	}
	return past.Records()
}

func file(t testing.TB, s history.Store) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, error %v", files, err)
	}
	return files[0]
}

func TestStore(t *testing.T) {
	s := history.Store{Dir: filepath.Join(t.TempDir(), "not", "there")}
	project := history.Project(".", "Dockerfile")
	if got := load(t, s, project); got != nil {
		t.Errorf("records before the first: %v", got)
	}
	want := []history.Record{record("a", 1), record("b", 3)}
	for _, r := range want {
		if err := s.Append(project, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(project, history.Record{Build: "nothing to do"}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, load(t, s, project)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := load(t, s, history.Project(".", "other.Dockerfile")); got != nil {
		t.Errorf("records of another project: %v", got)
	}
	info, err := os.Stat(file(t, s))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
}

// A build with many commands has several lines, none of them long.
func TestStoreManyRuns(t *testing.T) {
	s := history.Store{Dir: t.TempDir()}
	if err := s.Append("p", record("a", 1000)); err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, r := range load(t, s, "p") {
		runs += len(r.Runs)
	}
	if runs != 1000 {
		t.Errorf("%d runs, want 1000", runs)
	}
	text, err := os.ReadFile(file(t, s))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if len(line) > 64<<10 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
}

func TestStoreZeroValue(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	if err := (history.Store{}).Append("p", record("a", 1)); err != nil {
		t.Fatal(err)
	}
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(user, "mabuild", "history", "p.jsonl")); err != nil {
		t.Error(err)
	}
}

// What others left in the file is skipped, and does not take the next record along.
func TestStoreForeignLines(t *testing.T) {
	good := `{"v":1,"time":1,"build":"x","builder":"engine","cpus":2,"steps":[{"id":"sha256:` + strings.Repeat("a", 64) + `","instruction":"i","platform":"linux/amd64","ms":5}]}`
	change := func(old, text string) string { return strings.Replace(good, old, text, 1) }
	tests := map[string]string{
		"torn":                good[:len(good)/2],
		"torn line":           good[:len(good)/2] + "\n",
		"empty lines":         "\n\n \n",
		"binary":              "\x00\xff\xfe\n",
		"another version":     change(`"v":1`, `"v":2`) + "\n",
		"another thing":       `{"hello":"world"}` + "\n",
		"a number":            "17\n",
		"null":                "null\n",
		"no build":            change(`"build":"x"`, `"build":""`) + "\n",
		"a long name":         change(`"engine"`, `"`+strings.Repeat("e", 200)+`"`) + "\n",
		"no steps":            `{"v":1,"time":1,"build":"x","builder":"engine","cpus":2,"steps":[]}` + "\n",
		"no digest":           change("sha256:", "md5:") + "\n",
		"negative time":       change(`"ms":5`, `"ms":-5`) + "\n",
		"a year":              change(`"ms":5`, `"ms":31536000000`) + "\n",
		"no platform":         change(`"linux/amd64"`, `""`) + "\n",
		"negative processors": change(`"cpus":2`, `"cpus":-2`) + "\n",
		"longer than a line":  change(`"x"`, `"x`+strings.Repeat(" ", 70<<10)+`"`) + "\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			s := history.Store{Dir: t.TempDir()}
			if err := os.WriteFile(filepath.Join(s.Dir, "p.jsonl"), []byte(good+"\r\n"+text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.Append("p", record("mine", 1)); err != nil {
				t.Fatal(err)
			}
			got := load(t, s, "p")
			if len(got) != 2 || got[0].Build != "x" {
				t.Fatalf("records: %+v", got)
			}
			if diff := cmp.Diff(record("mine", 1), got[1]); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

// The file stays small, whatever the number of builds, and keeps the newest ones.
func TestStoreBounds(t *testing.T) {
	s := history.Store{Dir: t.TempDir()}
	var last string
	for i := range 400 {
		last = fmt.Sprintf("build %d", i)
		if err := s.Append("p", record(last, 8)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(file(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 256<<10 || info.Size() < 128<<10 {
		t.Errorf("the file has %d bytes", info.Size())
	}
	got := load(t, s, "p")
	if len(got) > 200 || len(got) < 50 || got[len(got)-1].Build != last {
		t.Errorf("%d records, the last of %s", len(got), got[len(got)-1].Build)
	}
	for i, r := range got {
		if want := fmt.Sprintf("build %d", 400-len(got)+i); r.Build != want {
			t.Fatalf("record %d is of %s, want %s", i, r.Build, want)
		}
	}
}

// The last 200 builds count, with all that each recorded.
func TestStoreCountsBuilds(t *testing.T) {
	s := history.Store{Dir: t.TempDir()}
	for i := range 300 {
		for range 2 {
			if err := s.Append("p", record(fmt.Sprint(i), 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := load(t, s, "p"); len(got) != 400 || got[0].Build != "100" {
		t.Errorf("%d records, the first of build %s", len(got), got[0].Build)
	}
}

// Nothing is lost or torn when several builds record at once, with the file being cut
// in between. Locks belong to open files, so that goroutines are like processes here.
func TestStoreAtOnce(t *testing.T) {
	s := history.Store{Dir: t.TempDir()}
	const builders, each = 8, 60
	var group sync.WaitGroup
	for b := range builders {
		group.Go(func() {
			for i := range each {
				if err := s.Append("p", record(fmt.Sprintf("%d/%d", b, i), 20)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	text, err := os.ReadFile(file(t, s))
	if err != nil {
		t.Fatal(err)
	}
	got := load(t, s, "p")
	// One that comes while another is being written ends that line once more.
	lines := len(bytes.FieldsFunc(text, func(r rune) bool { return r == '\n' }))
	if lines < len(got) || len(got) < min(lines, 200) {
		t.Errorf("%d lines, %d records", lines, len(got))
	}
	// What is there of a builder are its newest records, without a gap.
	next := map[string]int{}
	for _, r := range got {
		b, number, _ := strings.Cut(r.Build, "/")
		var i int
		if _, err := fmt.Sscan(number, &i); err != nil || len(r.Runs) != 20 {
			t.Fatalf("build %q with %d runs: %v", r.Build, len(r.Runs), err)
		}
		if want, ok := next[b]; ok && i != want {
			t.Errorf("build %s follows %s/%d", r.Build, b, want-1)
		}
		next[b] = i + 1
	}
	for b, n := range next {
		if n != each {
			t.Errorf("the last record of %s is %d", b, n-1)
		}
	}
}

func TestStoreErrors(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	odd := record("a", 1)
	odd.Runs[0].ID = "none"
	long := record("a", 1)
	long.Runs[0].Stage = strings.Repeat("s", 200)
	for name, test := range map[string]struct {
		dir, project string
		record       history.Record
		want         string
	}{
		"no folder possible": {blocked, "p", record("a", 1), "opening the history: "},
		"a folder instead":   {dir, "folder", record("a", 1), "opening the history: "},
		"no project":         {dir, "../p", record("a", 1), "is none of Project"},
		"no digest":          {dir, "p", odd, "writing a record: "},
		"long name":          {dir, "p", long, "writing a record: "},
	} {
		t.Run(name, func(t *testing.T) {
			if err := (history.Store{Dir: test.dir}).Append(test.project, test.record); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	if _, err := (history.Store{Dir: dir}).Load("folder"); err == nil {
		t.Error("a folder can be read")
	}
	if _, err := (history.Store{Dir: dir}).Load(""); err == nil {
		t.Error("a project without a name can be read")
	}
}

// A new project's first record removes what nobody uses any more.
func TestStoreSweeps(t *testing.T) {
	s := history.Store{Dir: t.TempDir()}
	old := time.Now().Add(-200 * 24 * time.Hour)
	for _, name := range []string{"old.jsonl", "old.jsonl.123", "old.txt", "new.jsonl"} {
		path := filepath.Join(s.Dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "old") {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Append("p", record("a", 1)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff([]string{"new.jsonl", "old.txt", "p.jsonl"}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestProject(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	if err := os.Mkdir(real, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(real, "Dockerfile"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(real, link); err != nil {
		t.Skip(err)
	}
	t.Chdir(real)
	want := history.Project(real, filepath.Join(real, "Dockerfile"))
	for _, same := range [][2]string{{".", "Dockerfile"}, {link, link + "/Dockerfile"}, {real + "/../real/", "./Dockerfile"}} {
		if got := history.Project(same[0], same[1]); got != want {
			t.Errorf("Project(%q, %q) is another one", same[0], same[1])
		}
	}
	remote := history.Project("https://example.com/a.git", "Dockerfile")
	t.Chdir(dir)
	if history.Project("https://example.com/a.git", "Dockerfile") != remote {
		t.Error("a URL is another project in another directory")
	}
	seen := map[string]bool{want: true}
	for _, other := range [][2]string{{".", "other"}, {"..", "Dockerfile"}, {"https://example.com/a.git", "Dockerfile"}, {"https://example.com/b.git", "Dockerfile"}, {"https://example.com/a.git", "b"}} {
		got := history.Project(other[0], other[1])
		if seen[got] {
			t.Errorf("Project(%q, %q) is not one of its own", other[0], other[1])
		}
		seen[got] = true
	}
}

// temporary is a folder for an example.
func temporary() (dir string, clean func()) {
	dir, err := os.MkdirTemp("", "history")
	if err != nil {
		panic(err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }
}
