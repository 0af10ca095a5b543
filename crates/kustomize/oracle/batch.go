// Many jobs in one process.
//
// Enters: one JSON job a line. Leaves: one JSON answer a line, flushed.
// Never: state of one job in the next: flags are defined anew, the OpenAPI globals are reset when a job changed them.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/kustomize/v5/commands/build"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// A Job is a build (Dir, with Files or from the disk), or a question to one of the two YAML libraries.
type Job struct {
	ID json.RawMessage `json:"id,omitempty"`

	// Dir is the directory to build: on the disk, or within Files.
	Dir string `json:"dir,omitempty"`
	// Flags of `kustomize build`.
	Flags []string `json:"flags,omitempty"`
	// Files by path makes the build run in memory; text, and base64 for what is not UTF-8.
	Files  map[string]string `json:"files,omitempty"`
	Base64 map[string]string `json:"base64,omitempty"`

	// Parse asks how version Yaml (2 or 3, default 3) of the YAML library reads a text.
	Parse *string `json:"parse,omitempty"`
	// ParseBase64 is the same for a text that is not UTF-8.
	ParseBase64 *string `json:"parse_base64,omitempty"`
	Yaml        int     `json:"yaml,omitempty"`
	// Print asks what is printed for the documents of a text if they were objects; PrintBase64 is the same for what is not UTF-8.
	Print       *string `json:"print,omitempty"`
	PrintBase64 *string `json:"print_base64,omitempty"`
	// Emit asks for what is printed for a JSON value.
	Emit json.RawMessage `json:"emit,omitempty"`
}

// An Answer has Output, or Error (Panic when it was one).
type Answer struct {
	ID       json.RawMessage `json:"id,omitempty"`
	Output   string          `json:"output,omitempty"`
	Parsed   any             `json:"parsed,omitempty"`
	Error    string          `json:"error,omitempty"`
	Panic    bool            `json:"panic,omitempty"`
	Warnings string          `json:"warnings,omitempty"`
}

func batch(in io.Reader, out io.Writer) error {
	// Warnings are written straight to os.Stderr, so it is a file while jobs run.
	capture, err := os.CreateTemp("", "oracle-stderr-")
	if err != nil {
		return err
	}
	defer capture.Close()
	if err := os.Remove(capture.Name()); err != nil {
		return err
	}
	os.Stderr = capture
	log.SetOutput(capture)

	lines := bufio.NewReaderSize(in, 1<<20)
	answers := bufio.NewWriter(out)
	encoder := json.NewEncoder(answers)
	encoder.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var job Job
			answer := Answer{}
			if err := json.Unmarshal(line, &job); err != nil {
				answer.Error = "not a job: " + err.Error()
			} else {
				run(&job, &answer)
			}
			answer.ID = job.ID
			if answer.Warnings, err = drain(capture); err != nil {
				return err
			}
			if err := encoder.Encode(&answer); err != nil {
				return err
			}
			if err := answers.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func run(job *Job, answer *Answer) {
	defer func() {
		if cause := recover(); cause != nil {
			answer.Output, answer.Parsed = "", nil
			answer.Error, answer.Panic = fmt.Sprint(cause), true
			openapi.ResetOpenAPI()
		}
	}()
	var err error
	switch {
	case job.Parse != nil:
		answer.Parsed, err = parse([]byte(*job.Parse), job.Yaml)
	case job.ParseBase64 != nil:
		var text []byte
		if text, err = base64.StdEncoding.DecodeString(*job.ParseBase64); err == nil {
			answer.Parsed, err = parse(text, job.Yaml)
		}
	case job.Print != nil:
		answer.Output, err = reprint([]byte(*job.Print))
	case job.PrintBase64 != nil:
		var text []byte
		if text, err = base64.StdEncoding.DecodeString(*job.PrintBase64); err == nil {
			answer.Output, err = reprint(text)
		}
	case job.Emit != nil:
		answer.Output, err = emit(job.Emit)
	default:
		answer.Output, err = render(job)
	}
	if err != nil {
		answer.Error = err.Error()
	}
}

func render(job *Job) (string, error) {
	files := filesys.MakeFsOnDisk()
	if job.Files != nil || job.Base64 != nil {
		files = filesys.MakeFsInMemory()
		for name, text := range job.Files {
			if err := write(files, name, []byte(text)); err != nil {
				return "", err
			}
		}
		for name, text := range job.Base64 {
			content, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return "", err
			}
			if err := write(files, name, content); err != nil {
				return "", err
			}
		}
	}
	var output bytes.Buffer
	command := build.NewCmdBuild(files, build.MakeHelp("kustomize", "build"), &output)
	build.AddFunctionAlphaEnablementFlags(command.Flags())
	command.SetArgs(append(append([]string{}, job.Flags...), job.Dir))
	command.SetOut(io.Discard)
	command.SetErr(os.Stderr)
	command.SilenceErrors = true
	if setsSchema(job) {
		// It matters whether the built-in schema has been looked into.
		openapi.ResetOpenAPI()
	}
	before := openapi.GetSchemaVersion()
	err := command.Execute()
	if openapi.GetSchemaVersion() != before || setsSchema(job) {
		openapi.ResetOpenAPI()
	}
	return output.String(), err
}

// A schema of a tree's own stays in the process, and does not always show in the version.
func setsSchema(job *Job) bool {
	for _, text := range job.Files {
		if strings.Contains(strings.ToLower(text), "openapi") {
			return true
		}
	}
	return false
}

// The file system in memory has its root at /, and relative names are below it.
func write(files filesys.FileSystem, name string, content []byte) error {
	name = path.Join("/", name)
	if err := files.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	return files.WriteFile(name, content)
}

func drain(capture *os.File) (string, error) {
	size, err := capture.Seek(0, io.SeekCurrent)
	if err != nil || size == 0 {
		return "", err
	}
	text := make([]byte, size)
	if _, err := capture.ReadAt(text, 0); err != nil {
		return "", err
	}
	if err := capture.Truncate(0); err != nil {
		return "", err
	}
	_, err = capture.Seek(0, io.SeekStart)
	return string(text), err
}
