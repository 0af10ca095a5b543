package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/kwok/pkg/utils/gotpl"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"
)

// player plays kwok's part without a cluster: the same stages, the same matching, the same merge.
type player struct {
	t      *testing.T
	stages lifecycle.Lifecycle
	pages  gotpl.Renderer
	steps  map[string]string // templates by stage
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	stages := PodStages()
	p := &player{t: t, steps: map[string]string{}}
	var err error
	if p.stages, err = lifecycle.NewLifecycle(stages); err != nil {
		t.Fatal(err)
	}
	for _, stage := range stages {
		if stage.Spec.Steps[0].Patch != nil {
			p.steps[stage.Name] = stage.Spec.Steps[0].Patch.Template
		}
	}
	p.pages = gotpl.NewRenderer(gotpl.FuncMap{
		StatusFunction: Patch,
		"PodIPWith":    func(string, bool, string, string, string) string { return "10.128.0.9" },
		"NodeIPWith":   func(string) string { return "10.64.0.1" },
	})
	return p
}

// next is the one stage that matches a pod, and its delay; an empty name if none does.
func (p *player) next(pod *corev1.Pod) (string, time.Duration) {
	p.t.Helper()
	ctx := context.Background()
	event := &lifecycle.Event{Labels: pod.Labels, Annotations: pod.Annotations, Data: pod}
	possible, err := p.stages.ListAllPossible(ctx, event)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(possible) > 1 {
		var names []string
		for _, stage := range possible {
			names = append(names, stage.Name())
		}
		p.t.Fatalf("chance decides between %v for %s", names, describe(pod))
	}
	if len(possible) == 0 {
		return "", 0
	}
	delay, _, err := possible[0].Delay(ctx, event, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimPrefix(possible[0].Name(), "pod-"), delay
}

// play lets one stage happen to a pod.
func (p *player) play(pod *corev1.Pod, stage string) *corev1.Pod {
	p.t.Helper()
	patch, err := p.pages.ToJSON(p.steps["pod-"+stage], pod)
	if err != nil {
		p.t.Fatal(err)
	}
	original, err := json.Marshal(pod)
	if err != nil {
		p.t.Fatal(err)
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch, &corev1.Pod{})
	if err != nil {
		p.t.Fatal(err)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(merged, out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// describe is what a person sees of a pod: phase, readiness, and each container's state.
func describe(pod *corev1.Pod) string {
	ready := "unready"
	if c := condition(&pod.Status, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
		ready = "ready"
	}
	words := []string{string(pod.Status.Phase), ready}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		state := "running"
		switch {
		case status.State.Waiting != nil:
			state = status.State.Waiting.Reason
		case status.State.Terminated != nil:
			state = fmt.Sprintf("%s(%d)", status.State.Terminated.Reason, status.State.Terminated.ExitCode)
		}
		if status.RestartCount > 0 {
			state = fmt.Sprintf("%s*%d", state, status.RestartCount)
		}
		words = append(words, state)
	}
	return strings.Join(words, " ")
}

const creating = "start: Pending unready ContainerCreating"

var stories = []struct {
	name string
	pod  *corev1.Pod
	want []string // the first steps; "end" where nothing follows
}{
	{"healthy", podOf("web:v1"), []string{creating, "run: Running ready running", "end"}},
	{"never ready", podOf("web:never-ready"), []string{creating, "run: Running unready running", "end"}},
	{"slow", podOf("web:slow-60s"), []string{creating, "run: Running unready running", "become-ready: Running ready running", "end"}},
	{"bad image", podOf("web:bad-image"), []string{creating, "run: Pending unready ErrImagePull",
		"back-off-from-pulling: Pending unready ImagePullBackOff", "fail-to-pull: Pending unready ErrImagePull", "back-off-from-pulling: Pending unready ImagePullBackOff"}},
	{"unauthorized", podOf("web:unauthorized"), []string{creating, "run: Pending unready ErrImagePull", "back-off-from-pulling: Pending unready ImagePullBackOff"}},
	{"registry down", podOf("web:registry-5xx"), []string{creating, "run: Pending unready ErrImagePull", "back-off-from-pulling: Pending unready ImagePullBackOff"}},
	{"invalid name", podOf("web:invalid-name"), []string{creating, "run: Pending unready InvalidImageName", "end"}},
	{"config error", podOf("web:config-error"), []string{creating, "run: Pending unready CreateContainerConfigError", "end"}},
	{"crash", podOf("web:crash"), []string{creating, "run: Running unready running", "crash: Running unready Error(1)", "restart-at-once: Running unready running*1",
		"crash: Running unready Error(1)*1", "back-off-from-restarting: Running unready CrashLoopBackOff*1", "restart: Running unready running*2",
		"crash: Running unready Error(1)*2", "back-off-from-restarting: Running unready CrashLoopBackOff*2"}},
	{"out of memory", podOf("web:oom"), []string{creating, "run: Running unready running", "crash: Running unready OOMKilled(137)"}},
	{"crash after ready", podOf("web:crash-after-ready"), []string{creating, "run: Running ready running", "crash-after-ready: Running unready Error(1)",
		"restart-at-once: Running ready running*1", "crash-after-ready: Running unready Error(1)*1", "back-off-from-restarting: Running unready CrashLoopBackOff*1", "restart: Running ready running*2"}},
	{"fail after", podOf("web:fail-after-5s"), []string{creating, "run: Running ready running", "fail-after: Running unready Error(1)",
		"restart-at-once: Running unready running*1", "fail-again: Running unready Error(1)*1", "back-off-from-restarting: Running unready CrashLoopBackOff*1", "restart: Running unready running*2", "fail-again: Running unready Error(1)*2"}},
	{"flap", podOf("web:flap"), []string{creating, "run: Running ready running", "become-unready: Running unready running", "become-ready-again: Running ready running", "become-unready: Running unready running"}},
	{"sidecar that crashes", podOf("web:v1", "side:crash"), []string{"start: Pending unready ContainerCreating ContainerCreating", "run: Running unready running running",
		"crash: Running unready running Error(1)"}},
	{"init container", withInit(podOf("web:v1"), "init:v1"), []string{"start: Pending unready PodInitializing PodInitializing",
		"initialize: Pending unready Completed(0) ContainerCreating", "run: Running ready Completed(0) running", "end"}},
	{"init container that crashes", withInit(podOf("web:v1"), "init:v1", "init:init-crash", "init:v1"), []string{
		"start: Pending unready PodInitializing PodInitializing PodInitializing PodInitializing",
		"run: Pending unready Completed(0) running PodInitializing PodInitializing",
		"crash: Pending unready Completed(0) Error(1) PodInitializing PodInitializing",
		"restart-at-once: Pending unready Completed(0) running*1 PodInitializing PodInitializing",
		"crash: Pending unready Completed(0) Error(1)*1 PodInitializing PodInitializing",
		"back-off-from-restarting: Pending unready Completed(0) CrashLoopBackOff*1 PodInitializing PodInitializing"}},
	{"init container without an image", withInit(podOf("web:v1"), "init:bad-image"), []string{"start: Pending unready PodInitializing PodInitializing",
		"run: Pending unready ErrImagePull PodInitializing", "back-off-from-pulling: Pending unready ImagePullBackOff PodInitializing"}},
	{"slow init container, then a crash", withInit(podOf("web:crash"), "init:slow-2s"), []string{"start: Pending unready PodInitializing PodInitializing",
		"run: Pending unready running PodInitializing", "initialize-slowly: Pending unready Completed(0) ContainerCreating", "run: Running unready Completed(0) running", "crash: Running unready Completed(0) Error(1)"}},
	{"job", ofJob(podOf("web:v1")), []string{creating, "run: Running ready running", "complete: Succeeded unready Completed(0)", "end"}},
	{"slow job", ofJob(podOf("web:job-slow-3s")), []string{creating, "run: Running ready running", "complete-late: Succeeded unready Completed(0)", "end"}},
	{"failing job", ofJob(podOf("web:job-fail", "side:v1")), []string{"start: Pending unready ContainerCreating ContainerCreating", "run: Running ready running running", "fail-the-job: Failed unready Error(1) Completed(0)", "end"}},
	{"job that crashes", ofJob(podOf("web:crash")), []string{creating, "run: Running unready running", "crash: Failed unready Error(1)", "end"}},
	{"failing job that restarts", withPolicy(ofJob(podOf("web:job-fail")), corev1.RestartPolicyOnFailure), []string{creating, "run: Running ready running",
		"fail-the-job: Running unready Error(1)", "restart-at-once: Running ready running*1", "fail-the-job: Running unready Error(1)*1", "back-off-from-restarting: Running unready CrashLoopBackOff*1"}},
}

func withPolicy(pod *corev1.Pod, policy corev1.RestartPolicy) *corev1.Pod {
	pod.Spec.RestartPolicy = policy
	return pod
}

func TestStories(t *testing.T) {
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			p := newPlayer(t)
			pod := story.pod.DeepCopy()
			for index, want := range story.want {
				stage, _ := p.next(pod)
				got := "end"
				if stage != "" {
					pod = p.play(pod, stage)
					got = stage + ": " + describe(pod)
				}
				if got != want {
					t.Fatalf("step %d: got %q, want %q", index+1, got, want)
				}
			}
		})
	}
}

// until plays a pod until a container waits for the reason.
func until(t *testing.T, p *player, pod *corev1.Pod, reason string) *corev1.Pod {
	t.Helper()
	for range 10 {
		for _, status := range pod.Status.ContainerStatuses {
			if status.State.Waiting != nil && status.State.Waiting.Reason == reason {
				return pod
			}
		}
		stage, _ := p.next(pod)
		pod = p.play(pod, stage)
	}
	t.Fatalf("%s never came: %s", reason, describe(pod))
	return nil
}

func TestMessages(t *testing.T) {
	for _, test := range []struct{ image, reason, want string }{
		{"web:bad-image", "ErrImagePull", `^rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/web:bad-image": failed to resolve reference .*: not found$`},
		{"web:bad-image", "ImagePullBackOff", `^Back-off pulling image "web:bad-image": ErrImagePull: .* not found$`},
		{"ghcr.example/team/web:unauthorized", "ErrImagePull", `"ghcr.example/team/web:unauthorized": pull access denied.*authorization failed$`},
		{"web:registry-5xx", "ErrImagePull", `https://docker.io/v2/library/web/manifests/registry-5xx: 503 Service Unavailable$`},
		{"web:invalid-name", "InvalidImageName", `couldn't parse image name`},
		{"web:config-error", "CreateContainerConfigError", `^secret "c0-credentials" not found$`},
		{"web:crash", "CrashLoopBackOff", `^back-off 10s restarting failed container=c0 pod=web_default\(u-1\)$`},
	} {
		p := newPlayer(t)
		pod := until(t, p, podOf(test.image), test.reason)
		if got := pod.Status.ContainerStatuses[0].State.Waiting.Message; !regexp.MustCompile(test.want).MatchString(got) {
			t.Errorf("%s, %s: got %q, want %q", test.image, test.reason, got, test.want)
		}
	}
}

func TestConfigErrorNamesTheSecret(t *testing.T) {
	pod := podOf("web:config-error")
	pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "database"}}}}
	pod = until(t, newPlayer(t), pod, "CreateContainerConfigError")
	if got, want := pod.Status.ContainerStatuses[0].State.Waiting.Message, `secret "database" not found`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A condition that holds again must not keep the reason for which it did not.
func TestReadyHasNoOldReason(t *testing.T) {
	p := newPlayer(t)
	pod := p.play(p.play(podOf("web:v1"), "start"), "run")
	for _, c := range pod.Status.Conditions {
		if c.Status != corev1.ConditionTrue || c.Reason != "" || c.Message != "" {
			t.Errorf("got %+v", c)
		}
	}
}

func TestDelaysCountFromTheStartOfTheContainer(t *testing.T) {
	p := newPlayer(t)
	pod := p.play(p.play(podOf("web:slow-60s"), "start"), "run")
	pod.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(time.Now().Add(-50 * time.Second))
	stage, delay := p.next(pod)
	if stage != "become-ready" || delay < 9*time.Second || delay > 11*time.Second {
		t.Errorf("got %s after %s, want become-ready after about 10 s", stage, delay)
	}
}

func TestUnreadyByTheNodeRecovers(t *testing.T) {
	p := newPlayer(t)
	pod := p.play(p.play(podOf("web:v1"), "start"), "run")
	condition(&pod.Status, corev1.PodReady).Status = corev1.ConditionFalse
	stage, _ := p.next(pod)
	if stage != "recover" {
		t.Fatalf("got %q, want recover", stage)
	}
	if got, want := describe(p.play(pod, stage)), "Running ready running"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDeletion(t *testing.T) {
	p := newPlayer(t)
	now, grace, none := metav1.Now(), int64(30), int64(0)
	pod := p.play(p.play(podOf("web:v1"), "start"), "run")
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &grace
	if stage, delay := p.next(pod); stage != "delete" || delay != 0 {
		t.Errorf("got %q after %s, want delete at once", stage, delay)
	}
	pod.Finalizers = []string{"example.com/hold"}
	if stage, _ := p.next(pod); stage != "delete" {
		t.Errorf("got %q, want the grace period to end for a pod with a finalizer", stage)
	}
	pod.DeletionGracePeriodSeconds = &none
	if stage, _ := p.next(pod); stage != "" {
		t.Errorf("got %q, want nothing while a finalizer holds the pod", stage)
	}
}

func TestPatchNamesTheVersionItIsFor(t *testing.T) {
	patch, err := Patch(string(start), podOf("web:v1"), "10.128.0.9", "10.64.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if want := `"metadata":{"resourceVersion":"7","uid":"u-1"}`; !strings.Contains(patch, want) {
		t.Errorf("%s is not in %s", want, patch)
	}
}

func TestLog(t *testing.T) {
	p := newPlayer(t)
	crashed := until(t, p, podOf("web:crash"), "CrashLoopBackOff")
	for _, previous := range []bool{false, true} {
		lines, err := Log(crashed, "c0", previous)
		if err != nil || !strings.Contains(lines[len(lines)-1], "exiting with code 1") {
			t.Errorf("previous %t: got %v, %v", previous, lines, err)
		}
	}
	if _, err := Log(until(t, p, podOf("web:bad-image"), "ImagePullBackOff"), "c0", false); err == nil || !strings.Contains(err.Error(), "trying and failing to pull image") {
		t.Errorf("got %v", err)
	}
}
