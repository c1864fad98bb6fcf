package envelope

import (
	"bytes"
	"math"
	"sync"
	"testing"
)

// saltsOf seals count values of size bytes and returns how many have which
// salt, checking that each opens.
func saltsOf(t *testing.T, r *Ring, count, size int) (runs []int) {
	t.Helper()
	var last []byte
	for range count {
		sealed := r.Seal(nil, make([]byte, size), nil)
		if _, err := r.Open(nil, sealed, nil); err != nil {
			t.Fatal(err)
		}
		if salt := sealed[saltAt:ivAt]; !bytes.Equal(salt, last) {
			last = salt
			runs = append(runs, 0)
		}
		runs[len(runs)-1]++
	}
	return runs
}

func TestSaltRollsOver(t *testing.T) {
	none := uint64(math.MaxUint64)
	tests := []struct {
		name        string
		limits      limits
		count, size int
		want        []int
	}{
		{"by values", limits{values: 3, bytes: none}, 8, 10, []int{3, 3, 2}},
		// 75 bytes each, so two fit
		{"by bytes", limits{values: none, bytes: 151}, 5, 10, []int{2, 2, 1}},
		{"values larger than the limit", limits{values: none, bytes: 10}, 3, 10, []int{1, 1, 1}},
		{"every value", limits{values: 1, bytes: none}, 3, 0, []int{1, 1, 1}},
		{"not before", defaultLimits, 100, 10, []int{100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := newRing(tt.limits, cacheSize, mustKey(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := saltsOf(t, r, tt.count, tt.size)
			if len(got) != len(tt.want) {
				t.Fatalf("values per salt: %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("values per salt: %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestDefaultLimits(t *testing.T) {
	if defaultLimits != (limits{values: 1 << 31, bytes: 1 << 47}) {
		t.Errorf("limits are %+v; the documents promise half of 2^32 values and 2^48 bytes", defaultLimits)
	}
}

// TestAboutCounts: what a value is bound to goes through the cipher's hash too.
func TestAboutCounts(t *testing.T) {
	r, err := newRing(limits{values: math.MaxUint64, bytes: 10_000}, cacheSize, mustKey(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := r.Seal(nil, nil, make([]byte, 6000))
	b := r.Seal(nil, nil, make([]byte, 6000))
	if bytes.Equal(a[saltAt:ivAt], b[saltAt:ivAt]) {
		t.Error("two abouts over the limit have one salt")
	}
}

func TestSaltsOfProcessesDiffer(t *testing.T) {
	k := mustKey(t)
	a, b := mustRing(t, k).Seal(nil, nil, nil), mustRing(t, k).Seal(nil, nil, nil)
	if bytes.Equal(a[saltAt:ivAt], b[saltAt:ivAt]) {
		t.Error("two rings of one key have one salt")
	}
}

// TestSaltRollsOverUnderLoad seals from many goroutines at once: no salt may be
// used more often than the limit says.
func TestSaltRollsOverUnderLoad(t *testing.T) {
	const limit, workers, each = 7, 8, 300
	r, err := newRing(limits{values: limit, bytes: math.MaxUint64}, 64, mustKey(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	uses := map[[saltSize]byte]int{}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				sealed := r.Seal(nil, []byte("x"), nil)
				if _, err := r.Open(nil, sealed, nil); err != nil {
					t.Error(err)
				}
				mu.Lock()
				uses[[saltSize]byte(sealed[saltAt:ivAt])]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	total := 0
	for salt, n := range uses {
		total += n
		if n > limit {
			t.Errorf("salt %x was used %d times, over %d", salt, n, limit)
		}
	}
	if total != workers*each {
		t.Errorf("%d values, want %d", total, workers*each)
	}
	// Nor is one given up before it is used up.
	if want := (total + limit - 1) / limit; len(uses) != want {
		t.Errorf("%d salts for %d values, want %d", len(uses), total, want)
	}
}
