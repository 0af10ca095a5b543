package simulate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// failContainer lets a container wait with the reason of its kind; false if the kind starts.
func failContainer(pod *corev1.Pod, b behaviour, status *corev1.ContainerStatus) bool {
	waiting := corev1.ContainerStateWaiting{}
	switch b.kind {
	case badImage, unauthorized, registryDown:
		waiting.Reason, waiting.Message = "ErrImagePull", pullError(b.kind, status.Image)
	case invalidName:
		waiting.Reason = "InvalidImageName"
		waiting.Message = fmt.Sprintf("Failed to apply default image tag %q: couldn't parse image name %q: invalid reference format", status.Image, status.Image)
	case configError:
		waiting.Reason = "CreateContainerConfigError"
		waiting.Message = missingConfiguration(pod, b.container)
	case healthy, slow, neverReady, crash, crashAfterReady, outOfMemory, failAfter, flap, initCrash, job, jobFail, jobSlow:
		return false
	}
	status.State = corev1.ContainerState{Waiting: &waiting}
	return true
}

// pullError is what containerd says when it cannot pull.
func pullError(k kind, image string) string {
	full := reference(image)
	resolve := fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference %q: ", full, full)
	switch k {
	case unauthorized:
		return resolve + "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"
	case registryDown:
		return resolve + fmt.Sprintf("unexpected status from HEAD request to %s: 503 Service Unavailable", manifestAddress(full))
	case healthy, slow, neverReady, badImage, invalidName, configError, crash, crashAfterReady, outOfMemory, failAfter, flap, initCrash, job, jobFail, jobSlow:
	}
	return "rpc error: code = NotFound desc = " + resolve + full + ": not found"
}

// reference is an image's full name: a registry is put in front of a name without one.
func reference(image string) string {
	const registry = "docker.io"
	host, _, found := strings.Cut(image, "/")
	switch {
	case found && (strings.ContainsAny(host, ".:") || host == "localhost"):
		return image
	case found:
		return registry + "/" + image
	default:
		return registry + "/library/" + image
	}
}

// manifestAddress is where a registry answers for an image.
func manifestAddress(full string) string {
	host, rest, _ := strings.Cut(full, "/")
	repository, tag, found := strings.Cut(rest, ":")
	if !found {
		tag = "latest"
	}
	return fmt.Sprintf("https://%s/v2/%s/manifests/%s", host, repository, tag)
}

// missingConfiguration is what a kubelet says of what a container names first and does not find.
func missingConfiguration(pod *corev1.Pod, name string) string {
	for _, container := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		if container.Name != name {
			continue
		}
		for _, source := range container.EnvFrom {
			if source.ConfigMapRef != nil {
				return fmt.Sprintf("configmap %q not found", source.ConfigMapRef.Name)
			}
		}
		for _, variable := range container.Env {
			if variable.ValueFrom != nil && variable.ValueFrom.ConfigMapKeyRef != nil {
				reference := variable.ValueFrom.ConfigMapKeyRef
				return fmt.Sprintf("couldn't find key %s in ConfigMap %s/%s", reference.Key, pod.Namespace, reference.Name)
			}
		}
	}
	return fmt.Sprintf("secret %q not found", referencedSecret(pod, name))
}

// referencedSecret is the first Secret that a container needs, or one made from its name.
func referencedSecret(pod *corev1.Pod, name string) string {
	for _, container := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		if container.Name != name {
			continue
		}
		for _, source := range container.EnvFrom {
			if source.SecretRef != nil {
				return source.SecretRef.Name
			}
		}
		for _, variable := range container.Env {
			if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil {
				return variable.ValueFrom.SecretKeyRef.Name
			}
		}
	}
	return name + "-credentials"
}
