package simulate

import (
	"fmt"

	"sigs.k8s.io/kwok/kustomize/stage/node/fast"
	heartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/yaml"
)

// LostLabel on a node stands for a machine that is gone: kwok leaves it and its pods alone, its lease runs
// out, and the node lifecycle controller does the rest. Taking the label away brings the machine back.
const LostLabel = "devcluster.plimsoll.dev/lost"

// NodeStages are kwok's own stages of nodes: Ready at once, then a heartbeat.
func NodeStages() ([]*internalversion.Stage, error) {
	var stages []*internalversion.Stage
	for _, document := range []string{fast.DefaultNodeInit, heartbeat.DefaultNodeHeartbeatWithLease} {
		var stage v1alpha1.Stage
		if err := yaml.Unmarshal([]byte(document), &stage); err != nil {
			return nil, fmt.Errorf("read a stage of kwok: %w", err)
		}
		converted, err := internalversion.ConvertToInternalStage(&stage)
		if err != nil {
			return nil, fmt.Errorf("convert the stage %s of kwok: %w", stage.Name, err)
		}
		stages = append(stages, converted)
	}
	return stages, nil
}
