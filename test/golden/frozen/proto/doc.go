// Package proto is the contract as it was on 24 November 2026, in its first form:
// the messages of the frozen plugin. It does not follow plugin/proto.
package proto
