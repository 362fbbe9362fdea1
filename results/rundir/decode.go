package rundir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// decodeDocument reads one JSON value that fills the whole file. Unknown fields
// are refused: a run written by a newer build must not be half understood.
func decodeDocument(name string, data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("rundir: %s:%d: %w: %s", name, lineAt(data, errorOffset(err, dec)), ErrSyntax, reason(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("rundir: %s:%d: %w: more after the end", name, lineAt(data, dec.InputOffset()), ErrSyntax)
	}
	return nil
}

// decodeLines reads one record a line and returns them in order. Every line ends
// with a newline, no line is empty.
func decodeLines[T any](name string, data []byte) ([]T, error) {
	out := make([]T, 0, bytes.Count(data, []byte{'\n'}))
	for n := 1; len(data) > 0; n++ {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			return nil, fmt.Errorf("rundir: %s:%d: %w: the line is cut short", name, n, ErrSyntax)
		}
		var v T
		if err := decodeLine(data[:end], &v); err != nil {
			return nil, fmt.Errorf("rundir: %s:%d: %w: %s", name, n, ErrSyntax, reason(err))
		}
		out = append(out, v)
		data = data[end+1:]
	}
	return out, nil
}

func decodeLine(line []byte, v any) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return errors.New("the line is empty")
	}
	if line[0] != '{' {
		return errors.New("the line is not an object")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value on the line")
	}
	return nil
}

// reason is a decoder's error without the package's own prefix.
func reason(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "cut short"
	}
	return string(bytes.TrimPrefix([]byte(err.Error()), []byte("json: ")))
}

func errorOffset(err error, dec *json.Decoder) int64 {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Offset
	}
	return dec.InputOffset()
}

// lineAt is the number of the line that holds the byte at offset, from 1.
func lineAt(data []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(data)))
	return 1 + bytes.Count(data[:offset], []byte{'\n'})
}
