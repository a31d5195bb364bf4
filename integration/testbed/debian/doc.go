// Package debian gets Debian's packages and minimal systems without touching the
// machine it runs on: mirrors are the machine's own, the state is not.
package debian
