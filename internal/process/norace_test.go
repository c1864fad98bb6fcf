//go:build !race

package process

const pooled = 0
