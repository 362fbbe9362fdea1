package client

import (
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// Outcome is what is certain of an operation.
type Outcome uint8

// The outcomes; see the package's documentation.
const (
	Unknown Outcome = iota
	OK
	Fail
)

// String returns "ok", "fail" or "unknown".
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Fail:
		return "fail"
	}
	return "unknown"
}

// Session is one logical mutation's identity.
type Session struct {
	Client string
	Seq    uint64
}

func (s Session) proto() *api.Session { return &api.Session{Client: s.Client, Seq: s.Seq} }

// sessions hands out identities. After an unknown outcome the name changes: the
// old operation may still be on its way, and a session has one open at a time.
type sessions struct {
	base, name string
	seq        uint64
	renewed    uint64
}

func (s *sessions) next() Session {
	s.seq++
	return Session{s.name, s.seq}
}

func (s *sessions) renew() {
	s.renewed++
	s.seq = 0
	s.name = s.base + "." + strconv.FormatUint(s.renewed, 10)
}

// verdict is what one attempt's error allows to conclude.
type verdict uint8

const (
	retryElsewhere verdict = iota // surely not done; another master leads
	retryLater                    // surely not done
	retryUnknown                  // may have been done
	giveUp                        // surely not done, and never will be
)

// classify judges an error of a call to a master. hint is the leader's node id,
// 0 if unknown.
func classify(err error, left bool) (v verdict, hint uint64) {
	s := status.Convert(err)
	switch s.Code() {
	case codes.FailedPrecondition:
		for _, d := range s.Details() {
			if n, ok := d.(*api.NotLeader); ok {
				return retryElsewhere, n.Leader
			}
		}
		return retryUnknown, 0
	case codes.ResourceExhausted:
		return retryLater, 0
	case codes.InvalidArgument, codes.Unimplemented, codes.PermissionDenied, codes.Unauthenticated, codes.OutOfRange:
		return giveUp, 0
	}
	if !left {
		return retryLater, 0
	}
	return retryUnknown, 0
}
