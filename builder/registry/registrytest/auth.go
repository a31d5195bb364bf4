package registrytest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Basic asks for a user name and a password.
func Basic(user, password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gotUser, gotPassword, _ := r.BasicAuth(); gotUser != user || gotPassword != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
			Refuse(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Tokens asks for bearer tokens and hands them out, at /token of the same host.
// Set its fields before use. The zero value gives everybody every token.
type Tokens struct {
	// Users are names and passwords. The password "identity:…" is an identity
	// token. Nil lets everybody in.
	Users map[string]string
	// Allow decides what a user may do; nil allows everything. The anonymous
	// user is "".
	Allow func(user, repository, action string) bool
	// TTL is how long tokens are good. Default: an hour.
	TTL time.Duration
	// Skew is by how much the server's clock is ahead.
	Skew time.Duration
	// Terse leaves out the error parameter of challenges.
	Terse bool
	// Realm replaces the address of the token service.
	Realm string
	// Clock, if any, is the time by which tokens expire.
	Clock *Clock

	mu     sync.Mutex
	tokens map[string]token
	issued int
}

type token struct {
	scopes  []string
	expires time.Time
}

// Issued returns how many tokens were handed out.
func (s *Tokens) Issued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
}

// Revoke makes all tokens bad.
func (s *Tokens) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = nil
}

// Protect returns next behind tokens.
func (s *Tokens) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			s.issue(w, r)
			return
		}
		scope, problem := s.check(r)
		if problem == "" {
			next.ServeHTTP(w, r)
			return
		}
		realm := s.Realm
		if realm == "" {
			realm = "http://" + r.Host + "/token"
		}
		challenge := fmt.Sprintf(`Bearer realm=%q,service="registrytest",scope=%q`, realm, scope)
		if problem != "none" && !s.Terse {
			challenge += fmt.Sprintf(`,error=%q`, problem)
		}
		w.Header().Set("WWW-Authenticate", challenge)
		Refuse(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")(w, r, next)
	})
}

// check returns the scope that r needs and what is wrong with its token.
func (s *Tokens) check(r *http.Request) (scope, problem string) {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		path, _, _ = strings.Cut(path, part)
	}
	scope = "repository:" + path + ":pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		scope += ",push"
	}
	needs := []string{scope}
	if from := r.URL.Query().Get("from"); from != "" {
		needs = append(needs, "repository:"+from+":pull")
	}
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return scope, "none"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.tokens[text]
	if !ok || s.now().After(known.expires) {
		return scope, "invalid_token"
	}
	for _, need := range needs {
		if !slices.ContainsFunc(known.scopes, func(have string) bool { return covers(have, need) }) {
			return scope, "insufficient_scope"
		}
	}
	return scope, ""
}

// covers reports whether the scope have includes the scope need.
func covers(have, need string) bool {
	haveName, haveActions := cutLast(have)
	needName, needActions := cutLast(need)
	actions := strings.Split(haveActions, ",")
	return haveName == needName && !slices.ContainsFunc(strings.Split(needActions, ","), func(action string) bool {
		return !slices.Contains(actions, action)
	})
}

func cutLast(s string) (before, after string) {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

func (s *Tokens) issue(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	scopes := r.URL.Query()["scope"]
	if r.Method == http.MethodPost {
		_ = r.ParseForm()
		user, password = r.PostForm.Get("username"), r.PostForm.Get("password")
		scopes = strings.Fields(r.PostForm.Get("scope"))
		if r.PostForm.Get("grant_type") == "refresh_token" {
			user, password = "", "identity:"+r.PostForm.Get("refresh_token")
		}
	}
	if s.Users != nil && password != "" {
		found := false
		for name, secret := range s.Users {
			if secret == password && (user == name || strings.HasPrefix(secret, "identity:")) {
				user, found = name, true
			}
		}
		if !found {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `{"details":"incorrect username or password"}`)
			return
		}
	}
	var granted []string
	for _, scope := range scopes {
		name, actions := cutLast(scope)
		repository := strings.TrimPrefix(name, "repository:")
		allowed := slices.DeleteFunc(strings.Split(actions, ","), func(action string) bool {
			return s.Allow != nil && !s.Allow(user, repository, action)
		})
		if len(allowed) > 0 {
			granted = append(granted, name+":"+strings.Join(allowed, ","))
		}
	}
	ttl := s.TTL
	if ttl == 0 {
		ttl = time.Hour
	}
	text := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil {
		s.tokens = map[string]token{}
	}
	s.tokens[text] = token{scopes: granted, expires: s.now().Add(ttl)}
	s.issued++
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"token": text, "access_token": text,
		"expires_in": int(ttl / time.Second), "issued_at": s.now().Add(s.Skew).UTC().Format(time.RFC3339),
	})
}

func (s *Tokens) now() time.Time {
	if s.Clock != nil {
		return s.Clock.Now()
	}
	return time.Now()
}
