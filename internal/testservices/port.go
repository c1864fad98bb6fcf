package testservices

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// addresses have been given out to this process's tests.
var addresses sync.Map

// FreeAddress is a loopback address that nobody listens on now, and that no other
// caller in this process got. It is below the ports that outgoing connections take,
// which would be in the way of a host that starts, or starts again.
func FreeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(9_000))
		if _, taken := addresses.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no free port from 10000 to 18999 found")
}
