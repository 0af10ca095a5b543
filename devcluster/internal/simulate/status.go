package simulate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// action is one thing that happens to a pod.
type action string

const (
	start                 action = "start"
	initialize            action = "initialize"
	run                   action = "run"
	becomeReady           action = "become-ready"
	becomeUnready         action = "become-unready"
	failToStart           action = "fail-to-start"
	backOffFromPulling    action = "back-off-from-pulling"
	exit                  action = "exit"
	backOffFromRestarting action = "back-off-from-restarting"
	restart               action = "restart"
)

// addresses are the arguments of the template that give a pod its addresses; only the start needs them.
func (a action) addresses() string {
	if a != start {
		return `"" ""`
	}
	return `(PodIPWith .spec.nodeName (or .spec.hostNetwork false) (or .metadata.uid "") (or .metadata.name "") (or .metadata.namespace "")) (NodeIPWith .spec.nodeName)`
}

// Patch is the template function of the stages: what changes in the pod when an action happens to it.
//
// It names the version of the pod that it was made for, so that a pod that changed meanwhile, or another pod
// of the same name, is never written over.
func Patch(name string, object any, podAddress, nodeAddress string) (string, error) {
	encoded, err := json.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("encode the pod: %w", err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(encoded, &pod); err != nil {
		return "", fmt.Errorf("decode the pod: %w", err)
	}
	status := after(action(name), &pod, podAddress, nodeAddress, metav1.Now())
	patch, err := json.Marshal(struct {
		Metadata map[string]any `json:"metadata"`
		Status   statusPatch    `json:"status"`
	}{
		Metadata: map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		Status:   statusPatch{PodStatus: status, Conditions: conditionPatches(status.Conditions)},
	})
	if err != nil {
		return "", fmt.Errorf("encode the status: %w", err)
	}
	return string(patch), nil
}

// statusPatch is a status whose conditions say what is no longer there, as a merge needs it.
type statusPatch struct {
	corev1.PodStatus `json:",inline"`
	Conditions       []conditionPatch `json:"conditions"`
}

type conditionPatch struct {
	corev1.PodCondition `json:",inline"`
	Reason              string `json:"reason"`
	Message             string `json:"message"`
}

func conditionPatches(conditions []corev1.PodCondition) []conditionPatch {
	patches := make([]conditionPatch, 0, len(conditions))
	for _, c := range conditions {
		patches = append(patches, conditionPatch{PodCondition: c, Reason: c.Reason, Message: c.Message})
	}
	return patches
}

// after is the status of a pod after an action.
func after(a action, pod *corev1.Pod, podAddress, nodeAddress string, now metav1.Time) corev1.PodStatus {
	status := *pod.Status.DeepCopy()
	b := behaviourOf(pod)
	switch a {
	case start:
		status.StartTime = &now
		status.HostIP, status.HostIPs = nodeAddress, []corev1.HostIP{{IP: nodeAddress}}
		status.PodIP, status.PodIPs = podAddress, []corev1.PodIP{{IP: podAddress}}
		status.InitContainerStatuses = created(pod.Spec.InitContainers, "PodInitializing")
		reason := "ContainerCreating"
		if len(pod.Spec.InitContainers) > 0 {
			reason = "PodInitializing"
		}
		status.ContainerStatuses = created(pod.Spec.Containers, reason)
	case initialize:
		for index := range status.InitContainerStatuses {
			finishInitContainer(pod, &status.InitContainerStatuses[index], pod.Spec.InitContainers[index], now)
		}
		status.ContainerStatuses = created(pod.Spec.Containers, "ContainerCreating")
	case run:
		runContainers(pod, &status, b, now)
	case becomeReady, becomeUnready:
		for index := range status.ContainerStatuses {
			container := &status.ContainerStatuses[index]
			if container.State.Running != nil && (a == becomeReady || container.Name == b.container) {
				container.Ready = a == becomeReady
			}
		}
	case failToStart:
		failContainer(pod, b, subjectStatus(&status, b))
	case backOffFromPulling:
		container := subjectStatus(&status, b)
		container.State.Waiting = &corev1.ContainerStateWaiting{
			Reason:  "ImagePullBackOff",
			Message: fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", container.Image, pullError(b.kind, container.Image)),
		}
	case exit:
		endContainers(&status, b, now)
	case backOffFromRestarting:
		container := subjectStatus(&status, b)
		container.LastTerminationState = container.State
		container.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason:  "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", backOff(container.RestartCount), container.Name, pod.Name, pod.Namespace, pod.UID),
		}}
	case restart:
		container := subjectStatus(&status, b)
		if container.State.Terminated != nil {
			container.LastTerminationState = container.State
		}
		container.RestartCount++
		begin(pod, container, readyAtStart(b.kind) && b.kind != failAfter && !b.initial, now)
	}
	summarize(pod, &status, now)
	return status
}

// created are the statuses of containers that have not started.
func created(containers []corev1.Container, reason string) []corev1.ContainerStatus {
	statuses := make([]corev1.ContainerStatus, 0, len(containers))
	for _, container := range containers {
		statuses = append(statuses, corev1.ContainerStatus{
			Name:    container.Name,
			Image:   container.Image,
			Started: new(false),
			State:   corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
		})
	}
	return statuses
}

// finishInitContainer ends an init container well, or starts it for good where it is a sidecar.
func finishInitContainer(pod *corev1.Pod, status *corev1.ContainerStatus, container corev1.Container, now metav1.Time) {
	if container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
		if status.State.Running == nil {
			begin(pod, status, true, now)
		}
		status.Ready = true
		return
	}
	if status.State.Running == nil {
		begin(pod, status, false, now)
	}
	terminate(status, 0, "Completed", now)
	status.Ready = true
}

// runContainers starts what can start. Where the subject is an init container, those before it have ended
// well and those after it wait.
func runContainers(pod *corev1.Pod, status *corev1.PodStatus, b behaviour, now metav1.Time) {
	if b.initial {
		for index := range status.InitContainerStatuses {
			container := &status.InitContainerStatuses[index]
			if container.Name == b.container {
				if !failContainer(pod, b, container) {
					begin(pod, container, false, now)
				}
				return
			}
			finishInitContainer(pod, container, pod.Spec.InitContainers[index], now)
		}
		return
	}
	for index := range status.ContainerStatuses {
		container := &status.ContainerStatuses[index]
		switch {
		case container.Name != b.container:
			begin(pod, container, true, now)
		case failContainer(pod, b, container):
		default:
			begin(pod, container, readyAtStart(b.kind), now)
		}
	}
}

// readyAtStart tells whether a container of a kind is ready as soon as it runs.
func readyAtStart(k kind) bool {
	switch k {
	case slow, neverReady, crash, initCrash, outOfMemory:
		return false
	case healthy, badImage, unauthorized, registryDown, invalidName, configError, crashAfterReady, failAfter, flap, job, jobFail, jobSlow:
		return true
	}
	return true
}

// begin makes a container run.
func begin(pod *corev1.Pod, status *corev1.ContainerStatus, ready bool, now metav1.Time) {
	status.ContainerID = "containerd://" + digest(string(pod.UID), status.Name, fmt.Sprint(status.RestartCount))
	status.ImageID = imageID(status.Image)
	status.Started = new(true)
	status.Ready = ready
	status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
}

// terminate makes a running container end.
func terminate(status *corev1.ContainerStatus, exitCode int32, reason string, now metav1.Time) {
	started := now
	if status.State.Running != nil {
		started = status.State.Running.StartedAt
	}
	status.Ready = false
	status.Started = new(false)
	status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: exitCode, Reason: reason, StartedAt: started, FinishedAt: now, ContainerID: status.ContainerID,
	}}
}

// endContainers ends the subject as its kind does. In a Job's pod the other containers end well with it.
func endContainers(status *corev1.PodStatus, b behaviour, now metav1.Time) {
	code, reason := int32(1), "Error"
	switch b.kind {
	case outOfMemory:
		code, reason = 137, "OOMKilled"
	case job, jobSlow:
		code, reason = 0, "Completed"
	case healthy, slow, neverReady, badImage, unauthorized, registryDown, invalidName, configError, crash, crashAfterReady, failAfter, flap, initCrash, jobFail:
	}
	terminate(subjectStatus(status, b), code, reason, now)
	if b.kind != job && b.kind != jobSlow && b.kind != jobFail {
		return
	}
	for index := range status.ContainerStatuses {
		if container := &status.ContainerStatuses[index]; container.Name != b.container {
			terminate(container, 0, "Completed", now)
		}
	}
}

// subjectStatus is the status of the container that the behaviour is about.
func subjectStatus(status *corev1.PodStatus, b behaviour) *corev1.ContainerStatus {
	statuses := status.ContainerStatuses
	if b.initial {
		statuses = status.InitContainerStatuses
	}
	for index := range statuses {
		if statuses[index].Name == b.container {
			return &statuses[index]
		}
	}
	return &corev1.ContainerStatus{}
}

// backOff is the delay that a kubelet would name; here it is always crashLoopBackOff.
func backOff(restarts int32) time.Duration {
	const first, limit = 10 * time.Second, 5 * time.Minute
	return min(first<<min(max(restarts-1, 0), 8), limit)
}

// imageID is the digest under which a runtime would know the image.
func imageID(image string) string {
	repository := reference(image)
	if at := strings.IndexByte(repository, '@'); at >= 0 {
		return repository
	}
	if colon := strings.LastIndexByte(repository, ':'); colon > strings.LastIndexByte(repository, '/') {
		repository = repository[:colon]
	}
	return repository + "@sha256:" + digest(image)
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "/")))
	return hex.EncodeToString(sum[:])
}
