package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

type object = map[string]any

func deployment(name, image string, replicas int) object {
	return object{
		"metadata": object{"name": name},
		"spec": object{
			"replicas": replicas,
			"selector": object{"matchLabels": object{"app": name}},
			"template": template(name, image),
		},
	}
}

func template(name, image string) object {
	return object{
		"metadata": object{"labels": object{"app": name}},
		"spec":     object{"containers": []any{object{"name": "app", "image": image}}},
	}
}

// pod is what a test looks at.
type pod struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Status struct {
		Phase      string `json:"phase"`
		PodIP      string `json:"podIP"`
		StartTime  string `json:"startTime"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
		ContainerStatuses []struct {
			Ready        bool   `json:"ready"`
			RestartCount int    `json:"restartCount"`
			ContainerID  string `json:"containerID"`
			ImageID      string `json:"imageID"`
			State        struct {
				Waiting struct {
					Reason  string `json:"reason"`
					Message string `json:"message"`
				} `json:"waiting"`
			} `json:"state"`
			LastState struct {
				Terminated struct {
					ExitCode int    `json:"exitCode"`
					Reason   string `json:"reason"`
				} `json:"terminated"`
			} `json:"lastState"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

// saw is everything that one pod was seen to do.
type saw struct {
	ready, unready, crashLoop bool
	reasons                   []string
	messages                  string
	restarts, exitCode        int
	lastReason                string
}

func (s *saw) look(p pod) {
	for _, status := range p.Status.ContainerStatuses {
		s.ready = s.ready || status.Ready
		s.unready = s.unready || s.ready && !status.Ready
		s.restarts = max(s.restarts, status.RestartCount)
		if waiting := status.State.Waiting; waiting.Reason != "" {
			s.crashLoop = s.crashLoop || waiting.Reason == "CrashLoopBackOff"
			s.reasons = append(s.reasons, waiting.Reason)
			s.messages += waiting.Message + "\n"
		}
		if ended := status.LastState.Terminated; ended.Reason != "" {
			s.exitCode, s.lastReason = ended.ExitCode, ended.Reason
		}
	}
}

// tags are images and what must be seen of them.
var tags = map[string]func(s *saw) bool{
	"v1":          func(s *saw) bool { return s.ready },
	"never-ready": func(s *saw) bool { return !s.ready },
	"slow-3s":     func(s *saw) bool { return s.ready },
	"bad-image": func(s *saw) bool {
		return slices.Contains(s.reasons, "ErrImagePull") && slices.Contains(s.reasons, "ImagePullBackOff") && strings.Contains(s.messages, "not found")
	},
	"crash":         func(s *saw) bool { return !s.ready && s.crashLoop && s.restarts >= 2 && s.exitCode == 1 },
	"oom":           func(s *saw) bool { return s.crashLoop && s.exitCode == 137 && s.lastReason == "OOMKilled" },
	"fail-after-2s": func(s *saw) bool { return s.ready && s.unready && s.crashLoop },
	"flap":          func(s *saw) bool { return s.ready && s.unready && s.restarts == 0 },
	"config-error":  func(s *saw) bool { return slices.Contains(s.reasons, "CreateContainerConfigError") },
}

func TestPodsBehaveByTheirImages(t *testing.T) {
	t.Parallel()
	c := up(t)
	// A machine that is gone: its lease runs out while the rest of the test goes on. Without the cordon, pods
	// would still be given to it until that is noticed, as in any cluster.
	c.do(t, "PATCH", "/api/v1/nodes/node-3", "application/merge-patch+json", object{
		"metadata": object{"labels": object{"devcluster.plimsoll.dev/lost": "true"}},
		"spec":     object{"unschedulable": true},
	})
	for tag := range tags {
		c.do(t, "POST", "/apis/apps/v1/namespaces/default/deployments", "application/json", deployment(tag, "web:"+tag, 1))
	}
	c.do(t, "POST", "/apis/batch/v1/namespaces/default/jobs", "application/json", object{
		"metadata": object{"name": "job"},
		"spec": object{"template": object{"spec": object{"restartPolicy": "Never",
			"containers": []any{object{"name": "app", "image": "web:v1"}}}}},
	})

	seen := map[string]*saw{}
	eventually(t, patience, "the behaviours", func() error {
		var pods struct {
			Items []pod `json:"items"`
		}
		if err := c.get(t, "/api/v1/namespaces/default/pods", &pods); err != nil {
			return err
		}
		var missing []string
		for tag, done := range tags {
			if seen[tag] == nil {
				seen[tag] = &saw{}
			}
			for _, p := range pods.Items {
				if owner, _, _ := strings.Cut(p.Metadata.Name, tag+"-"); owner == "" {
					seen[tag].look(p)
				}
			}
			if !done(seen[tag]) {
				missing = append(missing, fmt.Sprintf("%s: %+v", tag, *seen[tag]))
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%s", strings.Join(missing, "\n"))
		}
		return nil
	})
	eventually(t, patience, "the job", func() error {
		var job struct {
			Status struct {
				Succeeded int `json:"succeeded"`
			} `json:"status"`
		}
		if err := c.get(t, "/apis/batch/v1/namespaces/default/jobs/job", &job); err != nil {
			return err
		}
		if job.Status.Succeeded != 1 {
			return fmt.Errorf("%d pods succeeded", job.Status.Succeeded)
		}
		return nil
	})
	expectRollout(t, c)
	expectAudit(t, c)
	eventually(t, patience, "the lost node", func() error {
		var node struct {
			Status struct {
				Conditions []struct {
					Type   string `json:"type"`
					Status string `json:"status"`
				} `json:"conditions"`
			} `json:"status"`
		}
		if err := c.get(t, "/api/v1/nodes/node-3", &node); err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "Unknown" {
				return nil
			}
		}
		return fmt.Errorf("it is still there: %v", node.Status.Conditions)
	})
}

// expectRollout rolls 100 pods from one image to another.
func expectRollout(t *testing.T, c *cluster) {
	t.Helper()
	const path, replicas = "/apis/apps/v1/namespaces/default/deployments", 100
	c.do(t, "POST", path, "application/json", deployment("hundred", "web:v1", replicas))
	c.do(t, "PATCH", path+"/hundred", "application/merge-patch+json", object{"spec": object{"template": template("hundred", "web:v2")}})
	begin := time.Now()
	eventually(t, patience, "a rollout of 100 pods", func() error {
		var state struct {
			Metadata struct {
				Generation int `json:"generation"`
			} `json:"metadata"`
			Status struct {
				Observed  int `json:"observedGeneration"`
				Replicas  int `json:"replicas"`
				Updated   int `json:"updatedReplicas"`
				Available int `json:"availableReplicas"`
			} `json:"status"`
		}
		if err := c.get(t, path+"/hundred", &state); err != nil {
			return err
		}
		s := state.Status
		if s.Observed != state.Metadata.Generation || s.Replicas != replicas || s.Updated != replicas || s.Available != replicas {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	t.Logf("100 pods rolled out in %.1f s", time.Since(begin).Seconds())
}

// expectAudit looks for one request of this test in the audit log.
func expectAudit(t *testing.T, c *cluster) {
	t.Helper()
	eventually(t, patience, "the audit log", func() error {
		file, err := os.Open(c.AuditLog)
		if err != nil {
			return err
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var event struct {
				Stage     string            `json:"stage"`
				Verb      string            `json:"verb"`
				UserAgent string            `json:"userAgent"`
				Received  string            `json:"requestReceivedTimestamp"`
				User      object            `json:"user"`
				ObjectRef map[string]string `json:"objectRef"`
				Response  struct {
					Code int `json:"code"`
				} `json:"responseStatus"`
			}
			if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
				return err
			}
			if event.Stage != "ResponseComplete" {
				return fmt.Errorf("an event of the stage %s", event.Stage)
			}
			if event.Verb == "create" && event.ObjectRef["name"] == "hundred" && event.User["username"] == "devcluster-admin" &&
				event.Response.Code == 201 && event.UserAgent != "" && event.Received != "" {
				return nil
			}
		}
		return fmt.Errorf("no such event (%w)", lines.Err())
	})
}
