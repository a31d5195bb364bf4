// Package ghacache keeps build cache in the cache of GitHub Actions.
//
// It keeps the names and the format of BuildKit's own cache of type gha, so that a
// daemon and the built-in engine share what is there, but knows no signed caches, whose
// verification would make the binary a tenth larger. What is configured to
// be signed ([cache.gha] in buildkitd.toml) the engine refuses when it starts.
//
// Attributes: token and url or url_v2 (of the runner; the client fills them in), scope
// (default buildkit), version (1 or 2), timeout (default 10m), repository and ghtoken
// (to list what is there in one go).
package ghacache
