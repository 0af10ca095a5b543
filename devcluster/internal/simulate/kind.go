// Package simulate decides what a pod's containers do, by the tags of their images, and words it as a kubelet
// would. Everything in it is a pure function of the pod and the time.
package simulate

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// kind is one behaviour. A pod has one at a time: that of its first container whose image has a tag that names
// a behaviour, and healthy without one. Init containers count until they are done, the others from then on.
type kind string

const (
	healthy         kind = "healthy"
	slow            kind = "slow"
	neverReady      kind = "never-ready"
	badImage        kind = "bad-image"
	unauthorized    kind = "unauthorized"
	registryDown    kind = "registry-5xx"
	invalidName     kind = "invalid-name"
	configError     kind = "config-error"
	crash           kind = "crash"
	crashAfterReady kind = "crash-after-ready"
	outOfMemory     kind = "oom"
	failAfter       kind = "fail-after"
	flap            kind = "flap"
	initCrash       kind = "init-crash"
	job             kind = "job" // a healthy pod of a Job; no tag names it
	jobFail         kind = "job-fail"
	jobSlow         kind = "job-slow"
)

// plainTags are the tags that name a behaviour as they are.
var plainTags = []kind{slow, neverReady, badImage, unauthorized, registryDown, invalidName, configError, crash,
	crashAfterReady, outOfMemory, flap, initCrash, jobFail}

// timedTag matches the tags that carry a number of seconds.
const timedTag = "^(?<kind>slow|fail-after|job-slow)-(?<seconds>[0-9]{1,5})s$"

var timedTagPattern = regexp.MustCompile(timedTag)

// Durations of the behaviours. Those that the pod's own events must not prolong are counted from the start of
// the container, the others from the last change of the pod.
const (
	slowDefault      = 20 * time.Second
	initializeAfter  = 200 * time.Millisecond
	runAfter         = 300 * time.Millisecond
	crashesAfter     = 300 * time.Millisecond
	readyBeforeCrash = 3 * time.Second
	firstRestart     = 200 * time.Millisecond
	crashLoopBackOff = 2 * time.Second
	pullErrorShown   = 800 * time.Millisecond
	pullBackOff      = 4 * time.Second
	flapEvery        = 2 * time.Second
	jobRuns          = 500 * time.Millisecond
	recoversAfter    = 500 * time.Millisecond
)

// behaviour is what one pod does: its kind, the container it is about, and the seconds in the tag.
type behaviour struct {
	kind      kind
	container string
	initial   bool // the container is an init container
	seconds   int
}

// behaviourOf reads the behaviour from the pod's images.
func behaviourOf(pod *corev1.Pod) behaviour {
	for _, container := range pod.Spec.InitContainers {
		if initialized := condition(&pod.Status, corev1.PodInitialized); initialized != nil && initialized.Status == corev1.ConditionTrue {
			break
		}
		if k, seconds, found := kindOfImage(container.Image); found {
			return behaviour{kind: k, container: container.Name, initial: true, seconds: seconds}
		}
	}
	for _, container := range pod.Spec.Containers {
		k, seconds, found := kindOfImage(container.Image)
		if found && (k == jobFail || k == jobSlow) && pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
			found = false // a container that ends is no use there
		}
		if found {
			return behaviour{kind: k, container: container.Name, seconds: seconds}
		}
	}
	b := behaviour{kind: healthy, container: pod.Spec.Containers[0].Name}
	for _, owner := range pod.OwnerReferences {
		if owner.Kind == "Job" {
			b.kind = job
		}
	}
	return b
}

// kindOfImage reads the behaviour from what follows the last colon of an image.
func kindOfImage(image string) (kind, int, bool) {
	tag := image[strings.LastIndexByte(image, ':')+1:]
	for _, plain := range plainTags {
		if tag == string(plain) {
			return plain, 0, true
		}
	}
	match := timedTagPattern.FindStringSubmatch(tag)
	if match == nil {
		return "", 0, false
	}
	seconds, err := strconv.Atoi(match[2])
	if err != nil {
		return "", 0, false
	}
	return kind(match[1]), seconds, true
}

// definitions are the jq functions that the stages' expressions begin with; `subject` says in jq what
// behaviourOf says in Go, and a test holds the two together.
//
//	subject: {kind, container, initial, seconds}
//	status:  the status of the subject's container
//	state:   what that container does now, as one word
func definitions() string {
	var plain []string
	for _, tag := range plainTags {
		plain = append(plain, fmt.Sprintf("%q:1", string(tag)))
	}
	return fmt.Sprintf(`
def plain: {%s};
def subjectof(initial):
  (.image | split(":") | last) as $tag
  | if plain[$tag] then {kind: $tag, container: .name, initial: initial, seconds: null}
    elif ($tag | endswith("s") and contains("-")) then
      ($tag | capture(%q)) as $match
      | {kind: $match.kind, container: .name, initial: initial, seconds: ($match.seconds | tonumber)}
    else empty end;
def subject:
  .spec.restartPolicy as $policy
  | first(
      (select(all(.status.conditions[]?; .type != "Initialized" or .status != "True"))
        | .spec.initContainers[]? | subjectof(true)),
      (.spec.containers[] | subjectof(false)
        | select($policy != "Always" or (.kind != "job-fail" and .kind != "job-slow"))),
      {kind: (if any(.metadata.ownerReferences[]?; .kind == "Job") then "job" else "healthy" end),
       container: .spec.containers[0].name, initial: false, seconds: null});
def status:
  subject as $subject
  | first((.status.initContainerStatuses[]?, .status.containerStatuses[]?) | select(.name == $subject.container));
def state:
  if .metadata.deletionTimestamp then "deleted"
  elif .status.startTime == null then "new"
  elif .status.phase == "Succeeded" or .status.phase == "Failed" then "finished"
  else
    .spec.restartPolicy as $policy
    | (if subject.initial then "init:" else "" end) + (status
        | if .state.running then (if .ready then "ready" else "unready" end)
          elif .state.terminated then
            (if $policy == "Never" or ($policy == "OnFailure" and .state.terminated.exitCode == 0) then "ended"
             elif .restartCount == 0 then "ended-first" else "ended-again" end)
          else .state.waiting.reason end)
  end;
`, strings.Join(plain, ","), timedTag)
}
