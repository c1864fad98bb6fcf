//go:build race

package stream

// Under the race detector sync.Pool drops some of what it is given on purpose.
const pooled = 2
