// Package proto is the bytes that Multiproc's processes exchange.
package proto
