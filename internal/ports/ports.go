// Package ports finds loopback ports for nodes that listen later, or once more
// after a crash.
//
// A port that is merely free when somebody looks may be another's by the time it
// is used: of a second test of the same process, of another package's tests beside
// it, of an outgoing connection. So the ports lie below those that the kernel gives
// to connections, and each is held through the UDP port of the same number, which
// no node uses and every other user of this package finds taken.
//
// It is not for the product: a node's address is what its user says.
package ports

import (
	"errors"
	"fmt"
	"net"
)

// The ports are from low up to high, which Linux gives to no connection by default.
const low, high = 12000, 32000

// Set is the ports of one owner. The zero value is empty. It is used from one
// goroutine. Ports are given back by Close, or once nothing refers to the set.
type Set struct{ held []net.PacketConn }

// Take holds one more port and returns its loopback address. It draws with intn,
// which returns a number below its argument.
func (s *Set) Take(intn func(n int) int) (address string, err error) {
	for range 1000 {
		port := low + intn(high-low)
		if err = s.Hold(port); err == nil {
			return loopback(port), nil
		}
	}
	return "", err
}

// Hold holds all these ports, or none and says which was taken.
func (s *Set) Hold(ports ...int) error {
	before := len(s.held)
	for _, port := range ports {
		if err := s.hold(port); err != nil {
			return errors.Join(err, s.release(before))
		}
	}
	return nil
}

func (s *Set) hold(port int) error {
	udp, err := net.ListenPacket("udp", loopback(port))
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return errors.Join(err, udp.Close())
	}
	s.held = append(s.held, udp)
	return tcp.Close()
}

// Close gives the ports back.
func (s *Set) Close() error { return s.release(0) }

// release gives back all but the first keep ports.
func (s *Set) release(keep int) error {
	var errs []error
	for _, udp := range s.held[keep:] {
		errs = append(errs, udp.Close())
	}
	s.held = s.held[:keep]
	return errors.Join(errs...)
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
