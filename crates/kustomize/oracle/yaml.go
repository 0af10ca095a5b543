// Questions to the two YAML libraries under kustomize: version 3 reads resources, version 2 reads kustomization files and prints.
//
// Enters: a text or a JSON value. Leaves: the tree of nodes as plain data, or the printed text. Never: kustomize itself.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	yaml2 "go.yaml.in/yaml/v2"
	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/kyaml/kio"
	k8s "sigs.k8s.io/yaml"
)

// emit prints a value as an object with it would be printed: by way of Go's own JSON.
func emit(value []byte) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var plain any
	if err := decoder.Decode(&plain); err != nil {
		return "", err
	}
	again, err := json.Marshal(numbers(plain))
	if err != nil {
		return "", err
	}
	text, err := k8s.JSONToYAML(again)
	return string(text), err
}

// numbers makes integers of 64 bits and floats of what the decoder left as text.
func numbers(value any) any {
	switch value := value.(type) {
	case json.Number:
		if number, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			return number
		}
		if number, err := strconv.ParseUint(value.String(), 10, 64); err == nil {
			return number
		}
		number, _ := value.Float64()
		return number
	case []any:
		for index := range value {
			value[index] = numbers(value[index])
		}
	case map[string]any:
		for key := range value {
			value[key] = numbers(value[key])
		}
	}
	return value
}

// reprint takes documents the way of objects, without the checks that they are some: read, aliases resolved, JSON, printed.
func reprint(text []byte) (string, error) {
	nodes, err := kio.FromBytes(text)
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	var output bytes.Buffer
	for index, node := range nodes {
		if node.IsNilOrEmpty() {
			continue
		}
		object, err := node.MarshalJSON()
		if err != nil {
			return "", fmt.Errorf("convert: %w", err)
		}
		printed, err := k8s.JSONToYAML(object)
		if err != nil {
			return "", fmt.Errorf("print: %w", err)
		}
		if index > 0 {
			output.WriteString("---\n")
		}
		output.Write(printed)
	}
	return output.String(), nil
}

func parse(text []byte, version int) (any, error) {
	if version == 2 {
		return parse2(text)
	}
	return parse3(text)
}

// parse2 gives the first document as JSON, as kustomization files are read.
func parse2(text []byte) (any, error) {
	var probe any
	if err := yaml2.Unmarshal(text, &probe); err != nil {
		return nil, err
	}
	converted, err := k8s.YAMLToJSON(text)
	return string(converted), err
}

// parse3 gives every document as a tree: {k, t, v, s, l, c, a, i}.
func parse3(text []byte) (any, error) {
	documents := []any{}
	decoder := yaml3.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml3.Node
		err := decoder.Decode(&node)
		if err == io.EOF {
			return documents, nil
		}
		if err != nil {
			return documents, err
		}
		documents = append(documents, tree(&node))
	}
}

var kinds = map[yaml3.Kind]string{
	yaml3.DocumentNode: "document",
	yaml3.MappingNode:  "mapping",
	yaml3.SequenceNode: "sequence",
	yaml3.ScalarNode:   "scalar",
	yaml3.AliasNode:    "alias",
}

func tree(node *yaml3.Node) map[string]any {
	result := map[string]any{"k": kinds[node.Kind], "l": node.Line, "c": node.Column}
	if node.Kind != yaml3.DocumentNode && node.Kind != yaml3.AliasNode {
		result["t"] = node.ShortTag()
	}
	if node.Kind == yaml3.ScalarNode || node.Kind == yaml3.AliasNode {
		result["v"] = node.Value
	}
	if node.Style != 0 {
		result["s"] = fmt.Sprint(int(node.Style))
	}
	if node.Anchor != "" {
		result["a"] = node.Anchor
	}
	if len(node.Content) > 0 {
		items := []any{}
		for _, item := range node.Content {
			items = append(items, tree(item))
		}
		result["i"] = items
	}
	return result
}
