package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kwok/pkg/utils/expression"
)

func podOf(images ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "u-1", ResourceVersion: "7", Generation: 1}}
	pod.Spec.NodeName, pod.Spec.RestartPolicy = "node-1", corev1.RestartPolicyAlways
	for index, image := range images {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", index), Image: image})
	}
	return pod
}

func withInit(pod *corev1.Pod, images ...string) *corev1.Pod {
	for index, image := range images {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: fmt.Sprintf("i%d", index), Image: image})
	}
	return pod
}

func ofJob(pod *corev1.Pod) *corev1.Pod {
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "j"}}
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	return pod
}

func initialized(pod *corev1.Pod) *corev1.Pod {
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue})
	return pod
}

var behaviours = []struct {
	name string
	pod  *corev1.Pod
	want behaviour
}{
	{"no tag", podOf("web"), behaviour{kind: healthy, container: "c0"}},
	{"unknown tag", podOf("web:1.27"), behaviour{kind: healthy, container: "c0"}},
	{"registry with a port", podOf("localhost:5000/web"), behaviour{kind: healthy, container: "c0"}},
	{"tag with a registry's port", podOf("localhost:5000/web:crash"), behaviour{kind: crash, container: "c0"}},
	{"tag before a digest", podOf("web:crash@sha256:0123"), behaviour{kind: healthy, container: "c0"}},
	{"tag that only ends so", podOf("web:v1-crash"), behaviour{kind: healthy, container: "c0"}},
	{"second container", podOf("web:v1", "side:oom"), behaviour{kind: outOfMemory, container: "c1"}},
	{"first of two", podOf("web:flap", "side:oom"), behaviour{kind: flap, container: "c0"}},
	{"slow", podOf("web:slow"), behaviour{kind: slow, container: "c0"}},
	{"slow with seconds", podOf("web:slow-60s"), behaviour{kind: slow, container: "c0", seconds: 60}},
	{"slow without a unit", podOf("web:slow-60"), behaviour{kind: healthy, container: "c0"}},
	{"slow without a number", podOf("web:slow-xs"), behaviour{kind: healthy, container: "c0"}},
	{"too many digits", podOf("web:slow-1234567s"), behaviour{kind: healthy, container: "c0"}},
	{"fail after", podOf("web:fail-after-5s"), behaviour{kind: failAfter, container: "c0", seconds: 5}},
	{"init container first", withInit(podOf("web:crash"), "init:v1", "init:init-crash"), behaviour{kind: initCrash, container: "i1", initial: true}},
	{"init containers done", initialized(withInit(podOf("web:crash"), "init:slow-2s")), behaviour{kind: crash, container: "c0"}},
	{"init container that starts slowly", withInit(podOf("web:v1"), "init:slow-2s"), behaviour{kind: slow, container: "i0", initial: true, seconds: 2}},
	{"job", ofJob(podOf("web:v1")), behaviour{kind: job, container: "c0"}},
	{"failing job", ofJob(podOf("web:job-fail")), behaviour{kind: jobFail, container: "c0"}},
	{"slow job", ofJob(podOf("web:job-slow-3s")), behaviour{kind: jobSlow, container: "c0", seconds: 3}},
	{"a job's tag where containers never end", podOf("web:job-fail"), behaviour{kind: healthy, container: "c0"}},
	{"a job's tag and another", podOf("web:job-slow-3s", "side:crash"), behaviour{kind: crash, container: "c1"}},
}

func TestBehaviourOf(t *testing.T) {
	for _, test := range behaviours {
		if got := behaviourOf(test.pod); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

// The stages select in jq what the template function decides in Go: both must mean the same container.
func TestSubjectInJqIsBehaviourInGo(t *testing.T) {
	query, err := expression.NewQuery(definitions() + "subject")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range behaviours {
		values, err := query.Execute(context.Background(), test.pod)
		if err != nil || len(values) != 1 {
			t.Errorf("%s: got %v, %v", test.name, values, err)
			continue
		}
		encoded, err := json.Marshal(values[0])
		if err != nil {
			t.Fatal(err)
		}
		var subject struct {
			Kind      kind   `json:"kind"`
			Container string `json:"container"`
			Initial   bool   `json:"initial"`
			Seconds   int    `json:"seconds"`
		}
		if err := json.Unmarshal(encoded, &subject); err != nil {
			t.Fatal(err)
		}
		got := behaviour{kind: subject.Kind, container: subject.Container, initial: subject.Initial, seconds: subject.Seconds}
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}
