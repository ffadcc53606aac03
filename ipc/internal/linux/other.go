//go:build !(linux && (amd64 || arm64))

package linux

var _ = multiproc_needs_Linux_5_4_or_later_on_amd64_or_arm64
