package lint

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/exact"
)

// caches applies the rules about --mount=type=cache. A cache whose ID is empty
// of the platform is not reported as shared, too.
func (l *linter) caches() {
	empty := make(map[*run]bool)
	if len(l.jobs) < 2 {
		return
	}
	variable := regexp.MustCompile(`\$\{?(TARGET(?:PLATFORM|OS|ARCH|VARIANT))\b`)
	for _, r := range l.runs {
		if r.at.kind == "RUN" && len(r.at.node.Flags) > 0 {
			empty[r] = l.emptyID(r, variable)
		}
	}
	l.sharedCaches(empty)
}

// emptyID finds a cache whose ID is meant to be one per platform, but names what
// the stage does not declare.
func (l *linter) emptyID(r *run, variable *regexp.Regexp) bool {
	if len(r.jobs()) < 2 {
		return false
	}
	for _, m := range r.at.mounts() {
		if m["type"] != "cache" {
			continue
		}
		id := m["id"]
		var missing []string
		declared := false
		for _, match := range variable.FindAllStringSubmatch(id, -1) {
			switch {
			case r.declared(match[1]):
				declared = declared || len(l.valuesOf(r, match[1])) > 1
			case len(l.jobsWith(match[1], r.jobs())) > 0:
				missing = addName(missing, match[1])
			}
		}
		if len(missing) == 0 || declared {
			continue
		}
		l.replaced = append(l.replaced, replaced{at: r.at, names: missing})
		l.report(RuleCacheIDEmpty, r.at, id, r.jobs(),
			fmt.Sprintf("the cache id %s is the same for all platforms, since stage %s has no ARG %s", shown(id), l.stageName(r.at.stage), strings.Join(missing, ", ")),
			fmt.Sprintf("insert above line %d: ARG %s", r.at.start, strings.Join(missing, " ")))
		return true
	}
	return false
}

// valuesOf returns the values that a variable has for the platforms.
func (l *linter) valuesOf(r *run, name string) []string {
	var values []string
	for _, env := range r.environments() {
		values = addName(values, env[name])
	}
	return values
}

// user is a RUN that mounts a cache.
type user struct {
	run    *run
	mount  exact.Mount
	execs  []string // platforms that it executes on
	jobs   []string
	reason reason
}

// sharedCaches finds caches that commands of several platforms write, though
// what is in them is for one.
func (l *linter) sharedCaches(empty map[*run]bool) {
	byID := make(map[string][]*user)
	var order []string
	for _, r := range l.runs {
		for _, u := range l.usersIn(r) {
			if byID[u.mount.ID] == nil {
				order = append(order, u.mount.ID)
			}
			byID[u.mount.ID] = append(byID[u.mount.ID], u)
		}
	}
	reported := make(map[*run]bool)
	for _, id := range order {
		var execs, jobs []string
		for _, u := range byID[id] {
			for _, exec := range u.execs {
				execs = addName(execs, exec)
			}
			for _, job := range u.jobs {
				jobs = addName(jobs, job)
			}
		}
		if len(execs) < 2 {
			continue
		}
		for _, u := range byID[id] {
			locked := u.reason == reasonLock && u.mount.Sharing != "shared"
			if u.reason == reasonNone || locked || reported[u.run] || empty[u.run] {
				continue
			}
			reported[u.run] = true
			l.reportShared(u, execs, jobs)
		}
	}
}

func (l *linter) usersIn(r *run) []*user {
	var users []*user
	for _, s := range r.steps {
		for _, m := range s.Mounts {
			if m.Type != exact.MountCache {
				continue
			}
			i := slices.IndexFunc(users, func(u *user) bool { return u.mount.ID == m.ID && u.mount.Target == m.Target })
			if i < 0 {
				i = len(users)
				users = append(users, &user{run: r, mount: m, reason: reasonOf(m.Target, r.text)})
			}
			users[i].execs = addName(users[i].execs, s.ExecPlatform)
			for _, job := range s.Platforms {
				users[i].jobs = addName(users[i].jobs, job)
			}
		}
	}
	return users
}

func (l *linter) reportShared(u *user, execs, jobs []string) {
	target := u.mount.Target
	fix := fmt.Sprintf("write --mount=type=cache,id=%s-$TARGETPLATFORM,target=%s below ARG TARGETPLATFORM", path.Base(target), target)
	message := fmt.Sprintf("commands on %s share the cache %s, whose files are for one platform", strings.Join(execs, " and "), target)
	if u.reason == reasonLock {
		message = fmt.Sprintf("commands on %s use the cache %s at the same time, which the package manager does not expect", strings.Join(execs, " and "), target)
		fix = fmt.Sprintf("write --mount=type=cache,sharing=locked,target=%s", target)
	}
	l.report(RuleCacheShared, u.run.at, target, jobs, message, fix)
}

// reason says why a cache cannot be shared.
type reason int

const (
	reasonNone  reason = iota // it can, as far as is known
	reasonLock                // one command at a time
	reasonFiles               // its files are for one platform
)

// reasonOf judges a cache by its place. What is not known is taken to be fit for
// all platforms, as the caches of compilers and downloads of languages are.
func reasonOf(target, script string) reason {
	clean := path.Clean(target)
	switch clean {
	case "/var/cache/apt", "/var/cache/apt/archives", "/var/lib/apt", "/var/lib/apt/lists",
		"/var/cache/apk", "/etc/apk/cache", "/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum", "/var/cache/zypp":
		return reasonLock
	}
	switch path.Base(clean) {
	case "node_modules", "venv", ".venv", "site-packages":
		return reasonFiles
	case "target":
		if strings.Contains(script, "cargo") {
			return reasonFiles
		}
	}
	return reasonNone
}
