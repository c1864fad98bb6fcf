package envelope

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Wycheproof's cases are fetched as Go's own tests fetch them: by version, into
// the module cache, checked against the checksum database.
const wycheproofModule = "github.com/C2SP/wycheproof@v0.0.0-20250901140545-b51abcfb8daf"

// wycheproofCases is how many of its AES-GCM cases have a key and an IV of our
// sizes. Their IVs make the block counter wrap round, which a cipher that gets
// it wrong does not notice by itself.
const wycheproofCases = 19

func TestWycheproof(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(wycheproofDir(t), "testvectors_v1", "aes_gcm_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		TestGroups []struct {
			KeySize, IVSize, TagSize int
			Tests                    []struct {
				TCID         int
				Result       string
				Key, IV, AAD hexBytes
				Msg, CT, Tag hexBytes
			}
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, group := range file.TestGroups {
		if group.KeySize != 8*keySize || group.IVSize != 8*ivSize {
			continue
		}
		for _, c := range group.Tests {
			found++
			aead, err := newAEAD(c.Key)
			if err != nil {
				t.Fatal(err)
			}
			sealed := append(bytes.Clone(c.CT), c.Tag...)
			if got := aead.Seal(nil, c.IV, c.Msg, c.AAD); bytes.Equal(got, sealed) != (c.Result == "valid") {
				t.Errorf("case %d (%s): sealed to %x, want %x", c.TCID, c.Result, got, sealed)
			}
			got, err := aead.Open(nil, c.IV, sealed, c.AAD)
			if c.Result == "valid" && (err != nil || !bytes.Equal(got, c.Msg)) {
				t.Errorf("case %d: opened to %x, %v; want %x", c.TCID, got, err, c.Msg)
			}
			// Its own altered tags have other IV sizes, so alter these.
			for bit := range 8 * len(sealed) {
				sealed[bit/8] ^= 1 << (bit % 8)
				if _, err := aead.Open(nil, c.IV, sealed, c.AAD); err == nil {
					t.Errorf("case %d: opens with bit %d altered", c.TCID, bit)
				}
				sealed[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
	if found != wycheproofCases {
		t.Errorf("found %d cases, want %d", found, wycheproofCases)
	}
}

func wycheproofDir(t *testing.T) string {
	cmd := exec.Command("go", "mod", "download", "-json", wycheproofModule)
	cmd.Dir = t.TempDir() // no go.mod: it is not a dependency
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		t.Fatalf("download %s: %v\n%s%s", wycheproofModule, err, out, stderr)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil || module.Dir == "" {
		t.Fatalf("download %s: %v in %s", wycheproofModule, err, out)
	}
	return module.Dir
}
