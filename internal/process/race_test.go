//go:build race

package process

// Under the race detector sync.Pool drops some of what gRPC gives it, on purpose.
const pooled = 4
