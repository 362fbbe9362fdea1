package call

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

// Proto is its form on the wire.
func (s Session) Proto() *api.Session { return &api.Session{Client: s.Client, Seq: s.Seq} }

// Sessions hands out identities. After an unknown outcome the name changes: the
// old operation may still be on its way, and a session has one open at a time.
type Sessions struct {
	base, name string
	seq        uint64
	renewed    uint64
}

// NewSessions returns a source of identities under a name that is unique over all
// time.
func NewSessions(name string) Sessions { return Sessions{base: name, name: name} }

// Next is the identity of a new operation.
func (s *Sessions) Next() Session {
	s.seq++
	return Session{s.name, s.seq}
}

// Renew changes the name.
func (s *Sessions) Renew() {
	s.renewed++
	s.seq = 0
	s.name = s.base + "." + strconv.FormatUint(s.renewed, 10)
}

// verdict is what one attempt's error allows to conclude.
type verdict uint8

const (
	retryElsewhere verdict = iota // surely not done; another replica leads
	retryLater                    // surely not done
	retryUnknown                  // may have been done
	giveUp                        // surely not done, and never will be
)

// classify judges an error of a call to a replica. redirect is set where the
// replica said that another leads.
func classify(err error, left bool) (v verdict, redirect *api.NotLeader) {
	s := status.Convert(err)
	switch s.Code() {
	case codes.FailedPrecondition:
		for _, d := range s.Details() {
			if n, ok := d.(*api.NotLeader); ok {
				return retryElsewhere, n
			}
		}
		return retryUnknown, nil
	case codes.ResourceExhausted:
		return retryLater, nil
	case codes.InvalidArgument, codes.Unimplemented, codes.PermissionDenied, codes.Unauthenticated, codes.OutOfRange:
		return giveUp, nil
	}
	if !left {
		return retryLater, nil
	}
	return retryUnknown, nil
}

// Identify returns the session of an operation, the given one or the next, and
// what to call with the operation's outcome.
func (s *Sessions) Identify(given *Session) (Session, func(Outcome)) {
	if given != nil {
		return *given, func(Outcome) {}
	}
	return s.Next(), func(o Outcome) {
		if o == Unknown {
			s.Renew()
		}
	}
}
