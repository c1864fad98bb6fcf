package client

import (
	"testing"

	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/kafka"
	"rrhost/internal/wire"
)

// The largest payload fits a record with its seal and all the headers there may
// be. Topics are made for that size by a package that knows no seal.
func TestLargestPayloadFitsARecord(t *testing.T) {
	const payload = 8 << 20
	spare := kafka.MaxRecord(config.Config{Host: config.Host{MaxPayload: payload}}) - payload
	if want := envelope.Overhead + wire.MaxHeaderBytes + 1<<10; spare != want {
		t.Errorf("%d bytes for what a record has beside its payload, want %d", spare, want)
	}
}
