//go:build linux && (amd64 || arm64)

// Package linux is imported by what needs Linux, so that a build for anything else
// fails with one error that says so.
package linux
