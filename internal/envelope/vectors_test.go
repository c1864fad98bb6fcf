package envelope

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rrhost/internal/wire"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew: only for a new version of the format")

const vectorsFile = "testdata/vectors.json"

// vectors is the file that implementations in other languages test against.
type vectors struct {
	Description []string `json:"description"`
	Cases       []vector `json:"cases"`
}

// hexBytes is written as hex characters.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vector struct {
	Name   string `json:"name"`
	Result string `json:"result"` // opens or undecryptable
	Note   string `json:"note,omitempty"`

	Key   hexBytes `json:"key"` // the only one in the ring
	KeyID hexBytes `json:"key_id"`
	Salt  hexBytes `json:"salt"`
	IV    hexBytes `json:"iv"`
	// AESKey is derived of key and salt.
	AESKey hexBytes `json:"aes_key"`

	AboutFields []aboutField `json:"about_fields"`
	About       hexBytes     `json:"about"`
	AAD         hexBytes     `json:"aad"`

	Plain  *hexBytes `json:"plain,omitempty"` // of what opens
	Sealed hexBytes  `json:"sealed"`
}

// aboutField is one bound field: text where it is printable, else hex, or
// neither where it is absent.
type aboutField struct {
	Name string    `json:"name"`
	Text *string   `json:"text,omitempty"`
	Hex  *hexBytes `json:"hex,omitempty"`
}

func text(name, value string) aboutField     { return aboutField{Name: name, Text: &value} }
func raw(name string, b hexBytes) aboutField { return aboutField{Name: name, Hex: &b} }
func none(name string) aboutField            { return aboutField{Name: name} }

// encodeAbout is the rule of docs/wire.md, written a second time on purpose.
func encodeAbout(fields []aboutField) []byte {
	out := []byte{}
	for _, f := range fields {
		switch {
		case f.Text != nil:
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(*f.Text))), *f.Text...)
		case f.Hex != nil:
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(*f.Hex))), *f.Hex...)
		default:
			out = append(out, 0xff, 0xff, 0xff, 0xff)
		}
	}
	return out
}

// sealAs seals as a Ring does, but with salt and IV given.
func sealAs(t *testing.T, k Key, salt, iv, plain, about []byte) []byte {
	t.Helper()
	aead, err := deriveAEAD(k.bytes(), salt)
	if err != nil {
		t.Fatal(err)
	}
	dst, head := mustRing(t, k).appendHead(nil, len(plain), salt)
	copy(head[ivAt:], iv)
	return seal(dst, head, aead, plain, about)
}

// fixed makes bytes that are nothing special and the same every time.
func fixed(label string, n int) []byte {
	out := make([]byte, 0, n)
	for i := 0; len(out) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", label, i))
		out = append(out, sum[:min(len(sum), n-len(out))]...)
	}
	return out
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	v := readVectors(t)
	counts := map[string]int{}
	names := map[string]bool{}
	for _, c := range v.Cases {
		if names[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		names[c.Name] = true
		counts[c.Result]++
		t.Run(c.Name, func(t *testing.T) { checkVector(t, c) })
	}
	if counts["opens"] < 8 || counts["undecryptable"] < 12 || counts["opens"]+counts["undecryptable"] != len(v.Cases) {
		t.Errorf("the file has %v of %d cases: some are lost", counts, len(v.Cases))
	}
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("read %s: %v", vectorsFile, err)
	}
	if len(v.Cases) == 0 {
		t.Fatalf("no vectors in %s", vectorsFile)
	}
	return v
}

func checkVector(t *testing.T, c vector) {
	k, err := ParseKey(hex.EncodeToString(c.Key))
	if err != nil {
		t.Fatal(err)
	}
	id := k.ID()
	if !bytes.Equal(id[:], c.KeyID) {
		t.Errorf("key id is %v, want %x", id, c.KeyID)
	}
	if about := encodeAbout(c.AboutFields); !bytes.Equal(about, c.About) {
		t.Errorf("about is %x, want %x", about, c.About)
	}
	plain, err := mustRing(t, k).Open(nil, c.Sealed, c.About)
	if c.Result == "undecryptable" {
		if !errors.Is(err, ErrUndecryptable) {
			t.Errorf("Open = %q, %v; want ErrUndecryptable", plain, err)
		}
		return
	}
	if err != nil || !bytes.Equal(plain, *c.Plain) {
		t.Errorf("Open = %x, %v; want %x", plain, err, *c.Plain)
	}
	aesKey, err := hkdf.Key(sha256.New, c.Key, c.Salt, labelSeal, 32)
	if err != nil || !bytes.Equal(aesKey, c.AESKey) {
		t.Errorf("AES key is %x, %v; want %x", aesKey, err, c.AESKey)
	}
	if aad := appendAAD(nil, c.Sealed, c.About); !bytes.Equal(aad, c.AAD) {
		t.Errorf("AAD is %x, want %x", aad, c.AAD)
	}
	if sealed := sealAs(t, k, c.Salt, c.IV, *c.Plain, c.About); !bytes.Equal(sealed, c.Sealed) {
		t.Errorf("sealed is %x, want %x", sealed, c.Sealed)
	}
}

// requestFields and replyFields name what AppendAbout of wire appends. That
// they agree is checked when the file is written, and by wire's own tests.
func requestFields(r wire.Request, key aboutField) []aboutField {
	to, part := none("reply_to"), none("reply_partition")
	if r.ReplyTo != "" {
		to, part = text("reply_to", r.ReplyTo), text("reply_partition", fmt.Sprint(r.ReplyPartition))
	}
	return []aboutField{
		text("direction", "request"), text("topic", r.Topic), text("request_id", r.ID), key, none("op"),
		text("timeout_ms", fmt.Sprint(r.Timeout.Milliseconds())), text("sent_ms", fmt.Sprint(r.Sent.UnixMilli())), to, part,
	}
}

func replyFields(r wire.Reply, key aboutField) []aboutField {
	plugin := none("plugin")
	if r.Plugin != "" {
		plugin = text("plugin", r.Plugin)
	}
	return []aboutField{
		text("direction", "reply"), text("topic", r.Topic), text("request_id", r.RequestID), key,
		text("status", string(r.Status)), text("attempt", fmt.Sprint(r.Attempt)),
		text("duration_ms", fmt.Sprint(r.Duration.Milliseconds())), plugin,
	}
}

// vectorWriter collects cases; each has a salt and an IV of its own.
type vectorWriter struct {
	t   *testing.T
	key Key
	vectors
}

func (w *vectorWriter) good(name, note string, plain []byte, fields []aboutField) vector {
	w.t.Helper()
	about := encodeAbout(fields)
	salt, iv := fixed("salt of "+name, saltSize), fixed("IV of "+name, ivSize)
	aesKey, err := hkdf.Key(sha256.New, w.key.bytes()[:], salt, labelSeal, 32)
	if err != nil {
		w.t.Fatal(err)
	}
	sealed := sealAs(w.t, w.key, salt, iv, plain, about)
	id := w.key.ID()
	p := hexBytes(plain)
	if fields == nil {
		fields = []aboutField{}
	}
	v := vector{
		Name: name, Result: "opens", Note: note, Key: w.key.bytes()[:], KeyID: id[:], Salt: salt, IV: iv, AESKey: aesKey,
		AboutFields: fields, About: about, AAD: appendAAD(nil, sealed, about), Plain: &p, Sealed: sealed,
	}
	w.Cases = append(w.Cases, v)
	return v
}

// bad adds a case like v, but for what change changes.
func (w *vectorWriter) bad(v vector, name, note string, change func(*vector)) {
	v.Name, v.Note, v.Result, v.Plain = name, note, "undecryptable", nil
	v.Sealed = bytes.Clone(v.Sealed)
	v.AboutFields = append([]aboutField{}, v.AboutFields...)
	change(&v)
	v.About = encodeAbout(v.AboutFields)
	v.AAD = appendAAD(nil, append(bytes.Clone(v.Sealed), make([]byte, headSize)...), v.About)
	w.Cases = append(w.Cases, v)
}

func (w *vectorWriter) request(name, note string, plain string, r wire.Request) vector {
	key := none("key")
	if r.Key != nil {
		key = raw("key", r.Key)
	}
	fields := requestFields(r, key)
	if !bytes.Equal(encodeAbout(fields), r.AppendAbout(nil)) {
		w.t.Fatalf("%s: the fields are not what wire appends", name)
	}
	return w.good(name, note, []byte(plain), fields)
}

func (w *vectorWriter) reply(name, note string, plain string, r wire.Reply) vector {
	key := none("key")
	if r.Key != nil {
		key = raw("key", r.Key)
	}
	fields := replyFields(r, key)
	if !bytes.Equal(encodeAbout(fields), r.AppendAbout(nil)) {
		w.t.Fatalf("%s: the fields are not what wire appends", name)
	}
	return w.good(name, note, []byte(plain), fields)
}

func writeVectors(t *testing.T) {
	sequence := make([]byte, keySize)
	for i := range sequence {
		sequence[i] = byte(i)
	}
	key, err := ParseKey(hex.EncodeToString(sequence))
	if err != nil {
		t.Fatal(err)
	}
	w := &vectorWriter{t: t, key: key}
	w.Description = []string{
		"Known answers for rrhost's sealed payloads, version 1. docs/wire.md has the format. All bytes are hex.",
		"A case whose result is 'opens': aes_key is HKDF-SHA-256 of key and salt; about is about_fields encoded; aad is what the tag covers; sealing plain with salt and iv gives sealed; opening sealed with about gives plain.",
		"A case whose result is 'undecryptable': opening sealed, with a ring of key alone and with about, must fail. note says what was done to it.",
		"about_fields: text is UTF-8, hex is bytes, neither is an absent field (length ffffffff).",
	}

	request := sampleRequest()
	request.Key = nil
	asked := w.request("request", "what most requests are: JSON, no Kafka key, a reply address", `{"a":10,"b":5}`, request)
	keyed := request
	keyed.Key = []byte("customer-7")
	withKey := w.request("request with a Kafka key", "", `{"a":10,"b":5}`, keyed)
	keyed.Key = []byte{}
	w.request("request with an empty Kafka key", "empty is not null", `{}`, keyed)
	keyed.Key = []byte{0x00, 0xff, 0xfe, 0x80}
	w.request("request with a binary Kafka key", "", `{}`, keyed)
	unwaited := request
	unwaited.ReplyTo, unwaited.ReplyPartition, unwaited.Timeout = "", 0, 24*time.Hour
	w.request("request that nobody waits for", "no reply address: both fields absent", `[1,2,3]`, unwaited)
	w.request("request in unicode", "the plaintext is UTF-8 of two, three and four bytes", `{"name":"Ωμέγα €","flag":"🏴"}`, request)

	reply := sampleReply()
	reply.Key = nil
	answered := w.reply("reply", "", `{"result":15}`, reply)
	failed := reply
	failed.Status = wire.StatusHandlerError
	w.reply("reply of a handler that failed", "", `{"code":"division_by_zero","message":"b is 0","details":{"b":0}}`, failed)
	none := reply
	none.Status, none.Attempt, none.Duration, none.Plugin = wire.StatusNoHandler, 0, 0, ""
	w.reply("reply without a plugin", "the plugin field is absent", `{"code":"no_handler","message":"no such handler"}`, none)

	empty := w.good("empty", "no plaintext, bound to nothing", nil, nil)
	w.good("one byte", "", []byte{0}, []aboutField{text("anything", "x")})
	w.good("whole blocks", "64 bytes", fixed("whole blocks", 64), []aboutField{raw("sixteen", fixed("sixteen", 16))})
	w.good("long", "1000 bytes, bound to 300", fixed("long", 1000), []aboutField{raw("long", fixed("long about", 300))})

	tail := len(asked.Sealed) - 1
	w.bad(asked, "tag altered", "last bit", func(v *vector) { v.Sealed[tail] ^= 1 })
	w.bad(asked, "ciphertext altered", "first bit", func(v *vector) { v.Sealed[headSize] ^= 0x80 })
	w.bad(asked, "IV altered", "", func(v *vector) { v.Sealed[ivAt] ^= 1 })
	w.bad(asked, "salt altered", "so another AES key", func(v *vector) { v.Sealed[saltAt] ^= 1 })
	w.bad(asked, "key id altered", "so a key that is not in the ring", func(v *vector) { v.Sealed[idAt] ^= 1 })
	w.bad(asked, "version 2", "", func(v *vector) { v.Sealed[0] = 2 })
	w.bad(asked, "version 0", "", func(v *vector) { v.Sealed[0] = 0 })
	w.bad(asked, "a byte more", "", func(v *vector) { v.Sealed = append(v.Sealed, 0) })
	w.bad(asked, "a byte less", "", func(v *vector) { v.Sealed = v.Sealed[:tail] })
	w.bad(empty, "too short for a tag", "64 bytes", func(v *vector) { v.Sealed = v.Sealed[:Overhead-1] })
	w.bad(empty, "nothing at all", "", func(v *vector) { v.Sealed = nil })
	w.bad(asked, "sealed with another key", "and so another key id", func(v *vector) {
		other, err := ParseKey(strings.Repeat("5a", keySize))
		if err != nil {
			t.Fatal(err)
		}
		v.Sealed = sealAs(t, other, v.Salt, v.IV, []byte(`{"a":10,"b":5}`), encodeAbout(v.AboutFields))
	})
	w.bad(asked, "another topic", "", func(v *vector) { v.AboutFields[1] = text("topic", "echo") })
	w.bad(asked, "another request", "", func(v *vector) {
		v.AboutFields[2] = text("request_id", "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c12")
	})
	w.bad(asked, "Kafka key empty instead of null", "", func(v *vector) { v.AboutFields[3] = raw("key", hexBytes{}) })
	w.bad(withKey, "Kafka key removed", "", func(v *vector) { v.AboutFields[3] = aboutField{Name: "key"} })
	w.bad(asked, "a longer deadline", "", func(v *vector) { v.AboutFields[5] = text("timeout_ms", "86400000") })
	w.bad(asked, "another reply partition", "", func(v *vector) { v.AboutFields[8] = text("reply_partition", "4") })
	w.bad(answered, "another status", "", func(v *vector) { v.AboutFields[4] = text("status", "handler_error") })
	w.bad(answered, "a reply as a request", "", func(v *vector) { v.AboutFields[0] = text("direction", "request") })

	b, err := json.MarshalIndent(w.vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
