package supervise

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"plimsoll.dev/devcluster/internal/rest"
)

// readyPoll is how often something is asked for that is about to appear.
const readyPoll = 20 * time.Millisecond

// becomeReady waits for the API server, creates the nodes and the storage classes, and returns when the
// cluster can take its first pod.
func becomeReady(ctx context.Context, client *rest.Client, nodes int, progress func(string)) error {
	if err := until(ctx, "the API server", func() error { return client.Get(ctx, "/version", nil) }); err != nil {
		return err
	}
	progress("API server answers")
	for number := 1; number <= nodes; number++ {
		if err := ensure(ctx, client, "/api/v1/nodes", nodeObject(number)); err != nil {
			return err
		}
	}
	for _, class := range storageClassObjects() {
		if err := ensure(ctx, client, "/apis/storage.k8s.io/v1/storageclasses", class); err != nil {
			return err
		}
	}
	if err := until(ctx, "/readyz", func() error { return client.Do(ctx, http.MethodGet, "/readyz", "", nil, nil) }); err != nil {
		return err
	}
	progress("API server is ready")
	if err := until(ctx, "the default service account", func() error {
		return client.Get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil)
	}); err != nil {
		return err
	}
	progress("controllers work")
	if err := until(ctx, "the nodes", func() error { return nodesReady(ctx, client, nodes) }); err != nil {
		return err
	}
	progress(fmt.Sprintf("%d nodes are Ready", nodes))
	return nil
}

// ensure creates an object, retrying while the API server still starts; one that exists is left as it is.
func ensure(ctx context.Context, client *rest.Client, path string, object map[string]any) error {
	return until(ctx, path, func() error {
		err := client.Create(ctx, path, object)
		var status *rest.StatusError
		if errors.As(err, &status) && status.Code == http.StatusConflict {
			return nil
		}
		return err
	})
}

// nodesReady is nil when each node is Ready and free of taints.
func nodesReady(ctx context.Context, client *rest.Client, nodes int) error {
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Spec struct {
				Taints []struct {
					Key string `json:"key"`
				} `json:"taints"`
			} `json:"spec"`
			Status struct {
				Conditions []struct {
					Type   string `json:"type"`
					Status string `json:"status"`
				} `json:"conditions"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := client.Get(ctx, "/api/v1/nodes?resourceVersion=0", &list); err != nil {
		return err
	}
	if len(list.Items) < nodes {
		return fmt.Errorf("%d of %d nodes exist", len(list.Items), nodes)
	}
	for _, node := range list.Items {
		if len(node.Spec.Taints) > 0 {
			return fmt.Errorf("%s is tainted with %s", node.Metadata.Name, node.Spec.Taints[0].Key)
		}
		ready := false
		for _, condition := range node.Status.Conditions {
			ready = ready || condition.Type == "Ready" && condition.Status == "True"
		}
		if !ready {
			return fmt.Errorf("%s is not Ready", node.Metadata.Name)
		}
	}
	return nil
}

// until asks again and again; when the time is over the last answer is the error.
func until(ctx context.Context, what string, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last answer: %w)", what, context.Cause(ctx), err)
		case <-time.After(readyPoll):
		}
	}
}
