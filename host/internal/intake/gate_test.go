package intake

import "testing"

func gateWith(limit, claims int) (*gate, []*claim) {
	g := newGate(limit)
	list := make([]*claim, claims)
	for i := range list {
		list[i] = &claim{gate: g, wake: make(chan struct{}, 1)}
		g.join(list[i])
	}
	return g, list
}

func fill(g *gate, c *claim) (n int) {
	for g.acquire(c) {
		n++
	}
	return n
}

func TestGateDividesTheLimit(t *testing.T) {
	tests := []struct {
		name          string
		limit, claims int
		alone         int // what one busy claim gets while the others are idle
		second        int // what the next one then still gets at once
	}{
		{"one claim has all", 64, 1, 64, 0},
		{"an idle claim keeps half of its share", 64, 4, 64 - 3*8, 16},
		{"idle claims keep at most half of the limit", 64, 16, 64 - 15*2, 4},
		{"more claims than slots", 4, 16, 2, 1},
		{"one slot", 1, 3, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, claims := gateWith(tt.limit, tt.claims)
			if got := fill(g, claims[0]); got != tt.alone {
				t.Errorf("a busy claim got %d slots, want %d", got, tt.alone)
			}
			if tt.claims == 1 {
				return
			}
			if got := fill(g, claims[1]); got != tt.second {
				t.Errorf("the next claim got %d slots, want %d", got, tt.second)
			}
			if g.inflight > tt.limit {
				t.Errorf("%d in flight, limit %d", g.inflight, tt.limit)
			}
		})
	}
}

func TestGateNeverExceedsLimitAndEndsFair(t *testing.T) {
	g, claims := gateWith(64, 4)
	for _, c := range claims {
		fill(g, c)
	}
	// All have work now. Whatever is released goes to those below their share.
	for range 1000 {
		for _, c := range claims {
			if c.slots > 0 {
				g.release(c)
				break
			}
		}
		for _, c := range claims {
			select {
			case <-c.wake:
				fill(g, c)
			default:
			}
		}
		if g.inflight > 64 {
			t.Fatalf("%d in flight, limit 64", g.inflight)
		}
	}
	for i, c := range claims {
		if c.slots < 15 || c.slots > 17 {
			t.Errorf("claim %d holds %d slots, want its share of 16", i, c.slots)
		}
	}
}

func TestGateWakesAnotherWhenTheWokenLeaves(t *testing.T) {
	g, claims := gateWith(2, 3)
	fill(g, claims[0])
	fill(g, claims[1])
	if g.acquire(claims[2]) {
		t.Fatal("a third slot of two")
	}
	g.acquire(claims[1])
	g.release(claims[0]) // wakes one of the two that wait
	for _, c := range claims[1:] {
		g.leave(c)
	}
	if got := fill(g, claims[0]); got != 2-claims[1].slots-claims[2].slots {
		t.Errorf("the claim that is left got %d slots; %d and %d are held", got, claims[1].slots, claims[2].slots)
	}
}
