package simulate

import (
	"fmt"
	"time"

	"sigs.k8s.io/kwok/pkg/apis/internalversion"
)

// StatusFunction is the name under which Patch is known to the stages' templates.
const StatusFunction = "PodStatus"

// transition is one row of the table of what pods do: from a state, after a time, by an action.
type transition struct {
	name   string
	kinds  []kind   // empty: every kind
	states []string // words of `state` in definitions()
	after  time.Duration
	from   string // jq over the pod that gives a duration or a time; wins over after
	extra  string // jq that must yield something as well
	does   action
	event  *internalversion.StageEvent
}

var (
	pullFails = []kind{badImage, unauthorized, registryDown}
	crashes   = []kind{crash, initCrash, outOfMemory}
)

// transitions is the whole behaviour of pods. No two rows match the same pod, so nothing is left to chance.
func transitions() []transition {
	return []transition{
		{name: "start", states: []string{"new"}, does: start},
		{name: "initialize", states: []string{"PodInitializing"}, after: initializeAfter, does: initialize},
		{name: "run", states: []string{"ContainerCreating", "init:PodInitializing"}, after: runAfter, does: run},
		{name: "become-ready", kinds: []kind{slow}, states: []string{"unready"}, from: sinceStart(slowDefault), does: becomeReady},
		{name: "initialize-slowly", kinds: []kind{slow}, states: []string{"init:unready"}, from: sinceStart(slowDefault), does: initialize},
		{name: "initialize-normally", kinds: []kind{flap, jobFail, jobSlow}, states: []string{"init:unready"}, after: initializeAfter, does: initialize},

		{name: "fail-to-pull", kinds: pullFails, states: both("ImagePullBackOff"), after: pullBackOff, does: failToStart,
			event: warning("Failed", "Error: ErrImagePull")},
		{name: "back-off-from-pulling", kinds: pullFails, states: both("ErrImagePull"), after: pullErrorShown, does: backOffFromPulling,
			event: warning("Failed", "Error: ImagePullBackOff")},

		{name: "crash", kinds: crashes, states: both("unready"), after: crashesAfter, does: exit},
		{name: "crash-after-ready", kinds: []kind{crashAfterReady}, states: []string{"ready", "init:unready"}, after: readyBeforeCrash, does: exit},
		{name: "fail-after", kinds: []kind{failAfter}, states: []string{"ready", "init:unready"}, from: sinceStart(0), does: exit},
		{name: "fail-again", kinds: []kind{failAfter}, states: []string{"unready"}, after: crashesAfter, does: exit},
		{name: "restart-at-once", states: both("ended-first"), after: firstRestart, does: restart},
		{name: "back-off-from-restarting", states: both("ended-again"), after: 0, does: backOffFromRestarting,
			event: warning("BackOff", "Back-off restarting failed container")},
		{name: "restart", states: both("CrashLoopBackOff"), after: crashLoopBackOff, does: restart},

		{name: "become-unready", kinds: []kind{flap}, states: []string{"ready"}, after: flapEvery, does: becomeUnready,
			event: warning("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")},
		{name: "become-ready-again", kinds: []kind{flap}, states: []string{"unready"}, after: flapEvery, does: becomeReady},

		{name: "complete", kinds: []kind{job}, states: []string{"ready"}, after: jobRuns, does: exit},
		{name: "complete-late", kinds: []kind{jobSlow}, states: []string{"ready"}, from: sinceStart(0), does: exit},
		{name: "fail-the-job", kinds: []kind{jobFail}, states: []string{"ready"}, after: jobRuns, does: exit},

		{name: "recover", kinds: []kind{healthy, slow}, states: []string{"ready"}, after: recoversAfter, does: becomeReady,
			extra: `.status.conditions[]? | select(.type == "Ready" and .status == "False")`},
	}
}

// both is a state of an ordinary container and the same of an init container.
func both(state string) []string { return []string{state, "init:" + state} }

// sinceStart is the time at which the seconds of the tag have passed since the container started. Times in a
// pod have whole seconds, so one is added: it is never too early.
func sinceStart(otherwise time.Duration) string {
	return fmt.Sprintf(`(subject.seconds // %d) as $seconds | status.state.running.startedAt | fromdate + $seconds + 1 | todate`,
		int(otherwise.Seconds()))
}

func warning(reason, message string) *internalversion.StageEvent {
	return &internalversion.StageEvent{Type: "Warning", Reason: reason, Message: message}
}

// PodStages are the stages of kwok that make pods behave.
func PodStages() []*internalversion.Stage {
	prelude := definitions()
	stages := []*internalversion.Stage{deletion()}
	for _, t := range transitions() {
		stages = append(stages, t.stage(prelude))
	}
	return stages
}

func (t transition) stage(prelude string) *internalversion.Stage {
	var requirements []internalversion.MatchExpression
	if len(t.kinds) > 0 {
		kinds := make([]string, 0, len(t.kinds))
		for _, k := range t.kinds {
			kinds = append(kinds, string(k))
		}
		requirements = append(requirements, in(prelude+"subject.kind", kinds...))
	}
	requirements = append(requirements, in(prelude+"state", t.states...))
	if t.extra != "" {
		requirements = append(requirements, exists(t.extra))
	}
	stage := podStage(t.name, requirements)
	milliseconds := t.after.Milliseconds()
	stage.Spec.Delay = &internalversion.StageDelay{DurationMilliseconds: &milliseconds}
	if t.from != "" {
		stage.Spec.Delay.DurationFrom = &internalversion.ExpressionFrom{
			JQ: &internalversion.ExpressionJQ{Expression: prelude + t.from},
		}
	}
	strategic := internalversion.StagePatchTypeStrategicMergePatch
	stage.Spec.Steps = []internalversion.StageStep{{
		Event: t.event,
		Patch: &internalversion.StagePatch{
			Subresource: "status",
			Type:        &strategic,
			Template:    fmt.Sprintf(`{{ %s %q . %s }}`, StatusFunction, string(t.does), t.does.addresses()),
		},
	}}
	return stage
}

// deletion ends a pod that is being deleted without waiting for its grace period. What has finalizers stays
// until they are gone, and is not asked for twice.
func deletion() *internalversion.Stage {
	stage := podStage("delete", []internalversion.MatchExpression{
		exists(`.metadata.deletionTimestamp`),
		exists(`select((.metadata.finalizers // [] | length) == 0 or .metadata.deletionGracePeriodSeconds != 0) | .metadata.uid`),
	})
	stage.Spec.Steps = []internalversion.StageStep{{Delete: true}}
	return stage
}

func podStage(name string, requirements []internalversion.MatchExpression) *internalversion.Stage {
	stage := &internalversion.Stage{}
	stage.Name = "pod-" + name
	stage.Spec.ResourceRef = internalversion.StageResourceRef{APIGroup: "v1", Kind: "Pod"}
	stage.Spec.Selector = &internalversion.StageSelector{MatchExpressions: requirements}
	return stage
}

func in(key string, values ...string) internalversion.MatchExpression {
	return internalversion.MatchExpression{
		JQ: &internalversion.SelectorJQ{Key: key, Operator: internalversion.SelectorOpIn, Values: values},
	}
}

func exists(key string) internalversion.MatchExpression {
	return internalversion.MatchExpression{
		JQ: &internalversion.SelectorJQ{Key: key, Operator: internalversion.SelectorOpExists},
	}
}
