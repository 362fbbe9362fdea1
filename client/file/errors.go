package file

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/client"
)

// Error says what became of an operation on a path, and why. It reads as
// "/a/b: no such file or directory".
type Error struct {
	Path string
	// Outcome is OK if the answer is no, and Code says why, or Err if no code can:
	// nothing was done. It is Unknown if the operation may have happened or may still.
	Outcome client.Outcome
	Code    api.Code
	Err     error
}

// Error names the path and the reason.
func (e *Error) Error() string {
	switch {
	case e.Outcome == client.Unknown && errors.Is(e.Err, context.Canceled):
		return e.Path + ": interrupted; it may have been done"
	case e.Outcome == client.Unknown:
		return fmt.Sprintf("%s: it may have been done, or may yet: %s", e.Path, plain(e.Err))
	case e.Err != nil:
		return e.Path + ": " + plain(e.Err)
	}
	return e.Path + ": " + Reason(e.Code)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refused reports whether err is the cell's refusal with this code.
func Refused(err error, code api.Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Outcome == client.OK && e.Err == nil && e.Code == code
}

// reasons are the codes in a user's words.
var reasons = map[api.Code]string{
	api.Code_NOT_FOUND:      "no such file or directory",
	api.Code_EXISTS:         "it exists already",
	api.Code_NOT_DIRECTORY:  "not a directory",
	api.Code_IS_DIRECTORY:   "is a directory",
	api.Code_NOT_EMPTY:      "the directory is not empty",
	api.Code_INVALID:        "not a valid path or request",
	api.Code_NO_CHUNK:       "the file has no such chunk",
	api.Code_LEASE_HELD:     "in use: a lease on one of its chunks could not be ended",
	api.Code_STALE:          "it has changed meanwhile",
	api.Code_NO_CHUNKSERVER: "no chunkserver is alive to hold the data",
	api.Code_CHUNK_FULL:     "the chunk is full",
	api.Code_SHARED:         "a snapshot shares the data",
	api.Code_QUOTA:          "the quota of a directory above is used up",
	api.Code_NOT_SEALED:     "the last chunk may still grow",
	api.Code_SEALED:         "the chunk is sealed",
	api.Code_WRONG_KIND:     "the chunk holds the other kind of data",
	api.Code_WARMING_UP:     "the new leader does not know yet where the data is",
	api.Code_TOO_LARGE:      "more entries than one operation may touch",
	api.Code_CORRUPT:        "the data is damaged on every replica",
}

// Reason says in words what a code means.
func Reason(c api.Code) string {
	if r, ok := reasons[c]; ok {
		return r
	}
	return c.String()
}

// plain is an error without gRPC's and the client's wrapping.
func plain(err error) string {
	why, last := err, error(nil)
	if both, ok := err.(interface{ Unwrap() []error }); ok && len(both.Unwrap()) == 2 {
		// What a client reports at the end of its time wraps that and the last attempt's.
		why, last = both.Unwrap()[0], both.Unwrap()[1]
	}
	switch {
	case why == context.Canceled:
		return "interrupted"
	case why == context.DeadlineExceeded && last != nil && !errors.Is(last, why):
		return "timed out; last: " + plain(last)
	case why == context.DeadlineExceeded:
		return "timed out"
	}
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return s.GRPCStatus().Message()
	}
	return err.Error()
}

// complaint is what was wrong with an attempt, as a verb of its node.
func complaint(a client.Attempt) string {
	text := plain(a.Err)
	switch status.Code(a.Err) {
	case codes.DeadlineExceeded, codes.Canceled:
		return fmt.Sprintf("did not answer within %v", a.End.Sub(a.Start).Round(100*time.Millisecond))
	case codes.Unavailable:
		// gRPC says it in many words, the reason comes last.
		return "cannot be reached (" + strings.Trim(text[strings.LastIndex(text, ": ")+1:], ` "`) + ")"
	}
	return "answered: " + text
}

// ended turns the end of an operation into an error, nil if it succeeded.
func ended(path string, outcome client.Outcome, code api.Code, err error) error {
	if outcome == client.OK && code == api.Code_OK {
		return nil
	}
	return &Error{Path: path, Outcome: outcome, Code: code, Err: err}
}

// failed is an error of our own about a path: surely nothing more was done.
func failed(path, format string, args ...any) error {
	return &Error{Path: path, Outcome: client.Fail, Err: fmt.Errorf(format, args...)}
}

// declined is our own refusal: nothing was done, and trying again is of no use.
func declined(path, why string) error {
	return &Error{Path: path, Outcome: client.OK, Err: errors.New(why)}
}

// coded is every reply of a master.
type coded interface {
	GetCode() api.Code
	GetAt() *api.Position
}

// take judges a whole operation and notes what time it lost.
func take[T coded](f *FS, path string, r client.Result[T]) (T, error) {
	f.note(r.Attempts)
	if f.o.Shadow && r.Outcome == client.OK {
		f.at = r.Reply.GetAt()
	}
	return r.Reply, ended(path, r.Outcome, codeOf(r), r.Err)
}

func codeOf[T coded](r client.Result[T]) api.Code {
	if r.Outcome != client.OK {
		return api.Code_OK
	}
	return r.Reply.GetCode()
}
