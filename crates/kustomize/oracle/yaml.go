// Questions to the two YAML libraries under kustomize: version 3 reads resources, version 2 reads kustomization files and prints.
//
// Enters: a text or a JSON value. Leaves: the tree of nodes as plain data, or the printed text. Never: kustomize itself.
package main

import (
	"bytes"
	"fmt"
	"io"

	yaml2 "go.yaml.in/yaml/v2"
	yaml3 "go.yaml.in/yaml/v3"
	k8s "sigs.k8s.io/yaml"
)

func emit(value []byte) (string, error) {
	text, err := k8s.JSONToYAML(value)
	return string(text), err
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
