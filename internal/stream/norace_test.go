//go:build !race

package stream

const pooled = 0
