package simulate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// summarize derives the pod's phase and conditions from its containers.
func summarize(pod *corev1.Pod, status *corev1.PodStatus, now metav1.Time) {
	status.ObservedGeneration = pod.Generation
	status.Phase = phase(pod, status)
	finished := status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed

	setCondition(pod, status, now, corev1.PodReadyToStartContainers, !finished, "", "")
	incomplete := unreadyNames(status.InitContainerStatuses)
	if len(incomplete) > 0 {
		setCondition(pod, status, now, corev1.PodInitialized, false, "ContainersNotInitialized",
			fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(incomplete, " ")))
	} else {
		setCondition(pod, status, now, corev1.PodInitialized, true, completedReason(status.Phase), "")
	}
	unready := unreadyNames(status.ContainerStatuses)
	ready, reason, message := true, "", ""
	switch {
	case status.Phase == corev1.PodSucceeded:
		ready, reason = false, "PodCompleted"
	case status.Phase == corev1.PodFailed:
		ready, reason = false, "PodFailed"
	case len(unready) > 0:
		ready, reason = false, "ContainersNotReady"
		message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	setCondition(pod, status, now, corev1.ContainersReady, ready, reason, message)
	for _, gate := range pod.Spec.ReadinessGates {
		if condition(status, gate.ConditionType) == nil {
			setCondition(pod, status, now, gate.ConditionType, true, "", "")
		}
	}
	setCondition(pod, status, now, corev1.PodReady, ready, reason, message)
}

func completedReason(phase corev1.PodPhase) string {
	if phase == corev1.PodSucceeded {
		return "PodCompleted"
	}
	return ""
}

// phase follows the rule of kubelets: Pending until each container has started once, Running while one may run
// again, then Failed if one failed.
func phase(pod *corev1.Pod, status *corev1.PodStatus) corev1.PodPhase {
	never := pod.Spec.RestartPolicy == corev1.RestartPolicyNever
	for _, container := range status.InitContainerStatuses {
		if ended := container.State.Terminated; ended != nil && ended.ExitCode != 0 && never {
			return corev1.PodFailed
		}
	}
	if len(unreadyNames(status.InitContainerStatuses)) > 0 {
		return corev1.PodPending
	}
	running, failed := false, false
	for _, container := range status.ContainerStatuses {
		switch {
		case container.State.Waiting != nil && container.LastTerminationState.Terminated == nil:
			return corev1.PodPending
		case container.State.Terminated == nil:
			running = true
		case container.State.Terminated.ExitCode != 0:
			failed = true
			running = running || !never
		default:
			running = running || pod.Spec.RestartPolicy == corev1.RestartPolicyAlways
		}
	}
	switch {
	case running:
		return corev1.PodRunning
	case failed:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

func unreadyNames(statuses []corev1.ContainerStatus) []string {
	var names []string
	for _, container := range statuses {
		if !container.Ready {
			names = append(names, container.Name)
		}
	}
	return names
}

func condition(status *corev1.PodStatus, kind corev1.PodConditionType) *corev1.PodCondition {
	for index := range status.Conditions {
		if status.Conditions[index].Type == kind {
			return &status.Conditions[index]
		}
	}
	return nil
}

// setCondition sets a condition; its transition time moves only when its status does.
func setCondition(pod *corev1.Pod, status *corev1.PodStatus, now metav1.Time, kind corev1.PodConditionType, holds bool, reason, message string) {
	wanted := corev1.ConditionFalse
	if holds {
		wanted = corev1.ConditionTrue
	}
	existing := condition(status, kind)
	if existing == nil {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind})
		existing = &status.Conditions[len(status.Conditions)-1]
	}
	if existing.Status != wanted {
		existing.Status = wanted
		existing.LastTransitionTime = now
	}
	existing.Reason, existing.Message = reason, message
	existing.ObservedGeneration = pod.Generation
}
