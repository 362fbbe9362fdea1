package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// readConfig reads a TOML file into what the command's flags are bound to. Keys
// that the file has win over the flags' defaults, flags that were given win over
// the file.
func readConfig(c *cobra.Command, file string, into any) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var again []func() error
	c.Flags().Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values := list.GetSlice()
			again = append(again, func() error { return list.Replace(values) })
			return
		}
		value := f.Value.String()
		again = append(again, func() error { return f.Value.Set(value) })
	})
	if err := decodeStrict(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, set := range again {
		if err := set(); err != nil {
			return err
		}
	}
	return nil
}

// decodeStrict reads TOML; an unknown key is an error that shows the line.
func decodeStrict(text []byte, into any) error {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(into)
	var strict *toml.StrictMissingError
	var decode *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		return fmt.Errorf("unknown key:\n%s", strict.String())
	case errors.As(err, &decode):
		return fmt.Errorf("cannot be read:\n%s", decode.String())
	}
	return err
}
