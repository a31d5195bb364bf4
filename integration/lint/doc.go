// Package lint checks what is not Go and what no linter of Go looks at: the examples in
// docs/ci, by the schema of the system that reads them. GitHub's are read by actionlint, and
// that their command lines are mabuild's is a test of cmd/mabuild.
package lint
