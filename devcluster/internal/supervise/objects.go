package supervise

import "fmt"

// nodeObject is a node without a status: kwok makes it Ready, which shows that kwok works.
func nodeObject(number int) map[string]any {
	name := nodeName(number)
	resources := map[string]any{"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "1000"}
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Node",
		"metadata": map[string]any{
			"name": name,
			"labels": map[string]any{
				"kubernetes.io/arch":          "amd64",
				"kubernetes.io/os":            "linux",
				"kubernetes.io/hostname":      name,
				"topology.kubernetes.io/zone": fmt.Sprintf("zone-%d", number%3+1),
				"type":                        "kwok",
			},
			"annotations": map[string]any{"node.alpha.kubernetes.io/ttl": "0"},
		},
		// Pods get addresses of their node's range, as with a real network plugin.
		"spec": map[string]any{"podCIDR": podRange(number), "podCIDRs": []any{podRange(number)}},
		"status": map[string]any{"capacity": resources, "allocatable": resources, "addresses": []any{
			map[string]any{"type": "InternalIP", "address": nodeAddress(number)},
			map[string]any{"type": "ExternalIP", "address": "127.0.0.1"},
			map[string]any{"type": "Hostname", "address": name},
		}},
	}
}

// nodeAddress is the address of one node. Nothing listens there: the API server reaches "kubelets" by their
// external address.
func nodeAddress(number int) string { return fmt.Sprintf("10.64.%d.%d", number/256, number%256) }

func nodeName(number int) string { return fmt.Sprintf("node-%d", number) }

// podRange is the range of one node, number 1 to maxNodes, in 10.128.0.0/9: 2,046 addresses each.
func podRange(number int) string {
	offset := (number - 1) * 8
	return fmt.Sprintf("10.%d.%d.0/21", 128+offset/256, offset%256)
}

// maxNodes is how many ranges of podRange there are.
const maxNodes = 4096

// storageClassObjects are the default class, whose volumes are simulated, and one whose volumes are made by hand.
// In both a claim waits for its first pod.
func storageClassObjects() []map[string]any {
	class := func(name, provisioner, isDefault string) map[string]any {
		return map[string]any{
			"apiVersion": "storage.k8s.io/v1",
			"kind":       "StorageClass",
			"metadata": map[string]any{
				"name":        name,
				"annotations": map[string]any{"storageclass.kubernetes.io/is-default-class": isDefault},
			},
			"provisioner":       provisioner,
			"reclaimPolicy":     "Delete",
			"volumeBindingMode": "WaitForFirstConsumer",
		}
	}
	return []map[string]any{
		class("standard", "simulated.devcluster.plimsoll.dev", "true"),
		class("manual", "kubernetes.io/no-provisioner", "false"),
	}
}
