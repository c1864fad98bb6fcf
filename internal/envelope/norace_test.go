//go:build !race

package envelope

const allocsAllowed = 0
