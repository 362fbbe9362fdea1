package ports

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// A port that was taken is free for its owner to listen at, again and again, and
// nobody else's: neither the same owner's nor another's.
func TestHeldPortsAreTheirOwners(t *testing.T) {
	var a, b Set
	defer a.Close()
	defer b.Close()
	addr, err := a.Take(rand.IntN)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if a.Hold(port) == nil || b.Hold(port) == nil {
		t.Error("a port was given twice")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Hold(port); err != nil {
		t.Errorf("a port that was given back: %v", err)
	}
}

// Ports that somebody listens at are passed over, and a refused lot leaves nothing
// held.
func TestForeignPortsArePassedOver(t *testing.T) {
	var s, held Set
	defer s.Close()
	defer held.Close()
	addr, err := held.Take(rand.IntN)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	foreign := l.Addr().(*net.TCPAddr).Port
	if err := held.Close(); err != nil { // its listener alone is left
		t.Fatal(err)
	}
	draws := 0
	other, err := s.Take(func(n int) int {
		if draws++; draws == 1 {
			return foreign - low
		}
		return rand.IntN(n)
	})
	if err != nil || other == addr || draws < 2 {
		t.Errorf("%s after %d draws, %v; %s is somebody's", other, draws, err, addr)
	}
	before := len(s.held)
	if err := s.Hold(foreign-1, foreign); err == nil {
		t.Error("it held a port that somebody listens at")
	}
	if len(s.held) != before {
		t.Errorf("%d ports are held, %d were", len(s.held), before)
	}
}
