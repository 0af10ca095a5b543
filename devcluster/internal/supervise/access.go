package supervise

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// user is one entry of the API server's token file.
type user struct {
	name   string // as the audit log shows it
	token  string
	groups string
}

// Names of the processes; their users' names follow Kubernetes' own where it has one.
const (
	etcdName              = "etcd"
	apiServerName         = "kube-apiserver"
	controllerManagerName = "kube-controller-manager"
	schedulerName         = "kube-scheduler"
	kwokName              = "kwok"
)

const (
	adminUser      = "devcluster-admin"
	supervisorUser = "devcluster-supervisor"
	mastersGroup   = "system:masters"
)

// newUsers makes the users of one cluster with fresh tokens, by name.
func newUsers() (map[string]user, error) {
	users := map[string]user{}
	for _, entry := range []struct{ key, name, groups string }{
		{adminUser, adminUser, mastersGroup},
		{supervisorUser, supervisorUser, mastersGroup},
		{controllerManagerName, "system:kube-controller-manager", mastersGroup},
		{schedulerName, "system:kube-scheduler", mastersGroup},
		{kwokName, "system:kwok", mastersGroup},
	} {
		secret := make([]byte, 16)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("make a token: %w", err)
		}
		users[entry.key] = user{name: entry.name, token: hex.EncodeToString(secret), groups: entry.groups}
	}
	return users, nil
}

// tokenFile is the content of the API server's --token-auth-file.
func tokenFile(users map[string]user) string {
	var lines strings.Builder
	for _, key := range []string{adminUser, supervisorUser, controllerManagerName, schedulerName, kwokName} {
		u := users[key]
		fmt.Fprintf(&lines, "%s,%s,%s,\"%s\"\n", u.token, u.name, u.name, u.groups)
	}
	return lines.String()
}

// kubeconfig is a whole kubeconfig for one user; JSON is YAML.
func kubeconfig(server string, authority []byte, u user) ([]byte, error) {
	const cluster = "devcluster"
	document := map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": cluster,
		"clusters": []any{map[string]any{"name": cluster, "cluster": map[string]any{
			"server":                     server,
			"certificate-authority-data": base64.StdEncoding.EncodeToString(authority),
		}}},
		"users":    []any{map[string]any{"name": u.name, "user": map[string]any{"token": u.token}}},
		"contexts": []any{map[string]any{"name": cluster, "context": map[string]any{"cluster": cluster, "user": u.name}}},
	}
	content, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the kubeconfig of %s: %w", u.name, err)
	}
	return append(content, '\n'), nil
}

// writeAccess writes the token file and the kubeconfig of everyone who talks to the API server.
func writeAccess(l layout, server string, users map[string]user) error {
	if err := writeFile(l.tokens(), []byte(tokenFile(users))); err != nil {
		return err
	}
	authority, err := os.ReadFile(l.certificate(authorityCertificate))
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	for key, path := range map[string]string{
		adminUser:             l.kubeconfig(),
		controllerManagerName: l.componentKubeconfig(controllerManagerName),
		schedulerName:         l.componentKubeconfig(schedulerName),
		kwokName:              l.componentKubeconfig(kwokName),
	} {
		content, err := kubeconfig(server, authority, users[key])
		if err != nil {
			return err
		}
		if err := writeFile(path, content); err != nil {
			return err
		}
	}
	return nil
}
