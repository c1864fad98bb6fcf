package envelope

import (
	"bytes"
	"testing"
)

func mustKey(t testing.TB) Key {
	t.Helper()
	k, err := ParseKey(GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRoundTrip(t *testing.T) {
	r, err := NewRing(mustKey(t))
	if err != nil {
		t.Fatal(err)
	}
	sealed := r.Seal([]byte("before"), []byte("plain"), []byte("about"))
	got, err := r.Open([]byte("x"), sealed[6:], []byte("about"))
	if err != nil || !bytes.Equal(got, []byte("xplain")) {
		t.Fatalf("Open = %q, %v", got, err)
	}
}
