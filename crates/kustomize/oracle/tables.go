// The tables of expectations of the YAML room.
//
// Enters: a directory with scalars.json, values.json and documents.json. Leaves: the same files, expectations filled in anew;
// or, to check, an error when that would change them. Never: the inputs.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// A Reading is what becomes of a text: as objects, and as settings.
type Reading struct {
	// Text, or Base64 for what is not UTF-8.
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
	// What it is there for.
	Why string `json:"why,omitempty"`
	// Printed is what comes out of an object that holds it; absent when upstream refuses it.
	Printed *string `json:"printed,omitempty"`
	// Settings is what a kustomization file that holds it would be, as JSON; absent when upstream refuses it.
	Settings json.RawMessage `json:"settings,omitempty"`
}

// A Printing is what becomes of a value.
type Printing struct {
	Value json.RawMessage `json:"value"`
	// Printed is absent when upstream refuses the value.
	Printed *string `json:"printed,omitempty"`
}

func tables(directory string, check bool) error {
	for _, name := range []string{"scalars.json", "documents.json"} {
		if err := table(filepath.Join(directory, name), check, func(entry *Reading) error {
			text := []byte(entry.Text)
			if entry.Base64 != "" {
				var err error
				if text, err = base64.StdEncoding.DecodeString(entry.Base64); err != nil {
					return err
				}
			}
			if name == "scalars.json" {
				text = []byte("v: " + entry.Text + "\n")
			}
			entry.Printed, entry.Settings = nil, nil
			if printed, err := guarded(func() (string, error) { return reprint(text) }); err == nil {
				entry.Printed = &printed
			}
			if settings, err := parse2(text); err == nil {
				entry.Settings = json.RawMessage(settings.(string))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return table(filepath.Join(directory, "values.json"), check, func(entry *Printing) error {
		entry.Printed = nil
		if printed, err := emit(entry.Value); err == nil {
			entry.Printed = &printed
		}
		return nil
	})
}

// table lets fill fill in each entry of a file.
func table[Entry any](path string, check bool, fill func(*Entry) error) error {
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var entries []Entry
	if err := json.Unmarshal(before, &entries); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var after bytes.Buffer
	after.WriteString("[\n")
	for index := range entries {
		if err := fill(&entries[index]); err != nil {
			return fmt.Errorf("%s, entry %d: %w", path, index, err)
		}
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(&entries[index]); err != nil {
			return err
		}
		after.WriteString("  ")
		after.Write(bytes.TrimSpace(line.Bytes()))
		if index < len(entries)-1 {
			after.WriteByte(',')
		}
		after.WriteByte('\n')
	}
	after.WriteString("]\n")
	if bytes.Equal(before, after.Bytes()) {
		return nil
	}
	if check {
		return fmt.Errorf("%s is not what kustomize says; run regenerate.sh", path)
	}
	return os.WriteFile(path, after.Bytes(), 0o644)
}

func guarded(print func() (string, error)) (result string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			result, err = "", fmt.Errorf("%v", cause)
		}
	}()
	return print()
}
