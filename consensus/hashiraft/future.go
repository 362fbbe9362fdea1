package hashiraft

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/raft"
)

// waiter waits for the library's futures. At shutdown the library forgets
// those that lie in its channels (say, a command committed and not yet
// applied): nobody ever answers them, and a goroutine in Error would wait for
// ever. Every such future has an exported field ShutdownCh, which Error heeds
// and which the library sets for some kinds only. waiter sets it for the rest.
type waiter struct{ over chan struct{} }

// shutdownField is the field's name in the library's futures.
const shutdownField = "ShutdownCh"

// field returns the future's ShutdownCh, or no value for a future that is
// already answered.
func (w waiter) field(f raft.Future) (reflect.Value, error) {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer {
		return reflect.Value{}, nil
	}
	ch := v.Elem().FieldByName(shutdownField)
	if !ch.IsValid() || !ch.CanSet() || ch.Type() != reflect.TypeFor[chan struct{}]() {
		return reflect.Value{}, fmt.Errorf("hashiraft: %T has no field %s: this version of hashicorp/raft is not supported", f, shutdownField)
	}
	return ch, nil
}

// wait returns the future's error, raft.ErrRaftShutdown at the latest when
// over is closed. Only one goroutine may wait for a future.
func (w waiter) wait(f raft.Future) error { return w.waitUntil(f, w.over) }

// refused reports whether the library has answered the future before it took
// it in, and the answer.
func (w waiter) refused(f raft.Future) (error, bool) {
	if reflect.ValueOf(f).Kind() == reflect.Pointer {
		return nil, false
	}
	return f.Error(), true
}

// waitUntil is wait with an end of its own.
func (w waiter) waitUntil(f raft.Future, over chan struct{}) error {
	ch, err := w.field(f)
	if err != nil {
		return err
	}
	if ch.IsValid() {
		ch.Set(reflect.ValueOf(over))
	}
	return f.Error()
}
