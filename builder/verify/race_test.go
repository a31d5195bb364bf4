//go:build race

package verify_test

// raceEnabled: the race detector needs memory of its own.
const raceEnabled = true
