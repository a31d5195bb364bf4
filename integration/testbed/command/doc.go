// Package command runs the programs that base images are made with: their output
// is part of the error when they fail, they end with their caller, and what needs
// mounts gets namespaces of its own for them.
package command
