package simulate

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Log is what a container has written, oldest line first, or the error that a kubelet gives where there is
// nothing to read. previous asks for the run before the present one.
func Log(pod *corev1.Pod, name string, previous bool) ([]string, error) {
	status := findStatus(pod, name)
	if status == nil {
		return nil, fmt.Errorf("container %q in pod %q is not available", name, pod.Name)
	}
	if previous {
		ended := status.LastTerminationState.Terminated
		if ended == nil {
			return nil, fmt.Errorf("previous terminated container %q in pod %q not found", name, pod.Name)
		}
		return lines(status.Image, ended.StartedAt.Time, ended), nil
	}
	switch {
	case status.State.Running != nil:
		return lines(status.Image, status.State.Running.StartedAt.Time, nil), nil
	case status.State.Terminated != nil:
		return lines(status.Image, status.State.Terminated.StartedAt.Time, status.State.Terminated), nil
	case status.LastTerminationState.Terminated != nil:
		return lines(status.Image, status.LastTerminationState.Terminated.StartedAt.Time, status.LastTerminationState.Terminated), nil
	case status.State.Waiting != nil && (status.State.Waiting.Reason == "ErrImagePull" || status.State.Waiting.Reason == "ImagePullBackOff"):
		return nil, fmt.Errorf("container %q in pod %q is waiting to start: trying and failing to pull image", name, pod.Name)
	case status.State.Waiting != nil:
		return nil, fmt.Errorf("container %q in pod %q is waiting to start: %s", name, pod.Name, status.State.Waiting.Reason)
	}
	return nil, fmt.Errorf("container %q in pod %q is waiting to start - no logs yet", name, pod.Name)
}

// lines are the words of one run of a container: its start, and its end if it has one.
func lines(image string, started time.Time, ended *corev1.ContainerStateTerminated) []string {
	out := []string{
		line(started, "info", "starting "+image),
		line(started, "info", "listening on :8080"),
	}
	if ended == nil {
		return out
	}
	at := ended.FinishedAt.Time
	switch {
	case ended.Reason == "OOMKilled":
		return append(out, line(at, "warn", "cache grew to 512 MiB"))
	case ended.ExitCode == 0:
		return append(out, line(at, "info", "done"))
	default:
		return append(out,
			line(at, "error", "connect to database: dial tcp 10.96.0.17:5432: connection refused"),
			line(at, "fatal", "exiting with code 1"))
	}
}

func line(at time.Time, level, text string) string {
	return fmt.Sprintf("%s %s %s", at.UTC().Format(time.RFC3339), level, text)
}

func findStatus(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for index := range statuses {
			if statuses[index].Name == name {
				return &statuses[index]
			}
		}
	}
	return nil
}
