//go:build race

package envelope

// Under the race detector sync.Pool drops some of what it is given on purpose.
const allocsAllowed = 2
