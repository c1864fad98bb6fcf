// Package process is one life of a plugin's process: start, handshake, health,
// Describe, Configure, health, the stream, and the end. It owns the process, its group,
// its pipes and its sockets; package supervise decides when to live again.
package process

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"rrhost/internal/attach"
	"rrhost/internal/stream"
)

// maxHandshake bounds the first line on stdout. A certificate with a P-521 key
// takes about 900 bytes of it.
const maxHandshake = 8 << 10

var errNoHandshake = errors.New("it printed no handshake line on stdout; is it an rrhost plugin?")

// An IncompatibleError is a plugin that speaks another protocol: no restart
// helps, a new build does.
type IncompatibleError struct{ Reason string }

func (e *IncompatibleError) Error() string { return "incompatible plugin: " + e.Reason }

// readHandshake reads the first line of stdout, without its end.
func readHandshake(stdout *bufio.Reader) ([]byte, error) {
	line, err := stdout.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errNoHandshake
	case errors.Is(err, io.EOF):
		return nil, errNoHandshake
	case err != nil:
		return nil, fmt.Errorf("read its stdout: %w", err)
	}
	return bytes.TrimRight(bytes.Clone(line), "\r\n"), nil
}

// vetHandshake accepts exactly the line that a plugin of this protocol prints.
// go-plugin believes it: an address elsewhere would make the host dial it, and
// a certificate where none was asked for ends it with a nil pointer.
func vetHandshake(line []byte, socketDir string, mtls bool) error {
	fields := strings.Split(string(line), "|")
	if len(fields) < 4 || fields[0] != "1" {
		return errNoHandshake
	}
	if v, err := strconv.ParseUint(fields[1], 10, 31); err != nil || v != stream.ProtocolVersion {
		return &IncompatibleError{fmt.Sprintf("it speaks protocol version %s, this host version %d; build it against this host's SDK",
			quoteShort(fields[1]), stream.ProtocolVersion)}
	}
	if len(fields) < 5 || fields[4] != "grpc" {
		return &IncompatibleError{"it does not speak gRPC"}
	}
	if len(fields) != 6 {
		return fmt.Errorf("handshake: %d fields, and 6 are wanted", len(fields))
	}
	if fields[2] != "unix" {
		return fmt.Errorf("handshake: network %s, and unix is wanted", quoteShort(fields[2]))
	}
	addr := fields[3]
	if len(addr) > attach.MaxPath || filepath.Dir(addr) != socketDir || filepath.Clean(addr) != addr || strings.ContainsRune(addr, 0) {
		return errors.New("handshake: the socket is not in the folder that the host gave")
	}
	return vetCert(fields[5], mtls)
}

func vetCert(field string, mtls bool) error {
	if !mtls {
		if field != "" {
			return errors.New("handshake: a certificate, and none was asked for")
		}
		return nil
	}
	der, err := base64.RawStdEncoding.DecodeString(field)
	if err != nil || field == "" {
		return errors.New("handshake: the certificate is missing or not base64")
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return errors.New("handshake: the certificate cannot be parsed")
	}
	return nil
}

// quoteShort makes a plugin's text fit to be shown.
func quoteShort(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.QuoteToASCII(s)
}
