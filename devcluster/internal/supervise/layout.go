package supervise

import (
	"fmt"
	"os"
	"path/filepath"
)

// layout names every file of one cluster. All of them are below one directory, so that clusters never meet.
type layout struct {
	dir string
}

func newLayout(dir string) (layout, error) {
	if dir == "" {
		return layout{}, fmt.Errorf("read the flags: --dir is required")
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return layout{}, fmt.Errorf("resolve %s: %w", dir, err)
	}
	return layout{dir: absolute}, nil
}

func (l layout) path(name string) string { return filepath.Join(l.dir, name) }

func (l layout) kubeconfig() string     { return l.path("kubeconfig") }
func (l layout) auditLog() string       { return l.path("audit.log") }
func (l layout) auditPolicy() string    { return l.path("audit-policy.yaml") }
func (l layout) tokens() string         { return l.path("tokens.csv") }
func (l layout) pidFile() string        { return l.path("pid") }
func (l layout) lockFile() string       { return l.path("lock") }
func (l layout) etcdData() string       { return l.path("etcd") }
func (l layout) etcdSocket() string     { return l.path(etcdSocketName) }
func (l layout) etcdPeerSocket() string { return l.path("peer." + etcdSocketName) }
func (l layout) certificates() string   { return l.path("certificates") }
func (l layout) logs() string           { return l.path("logs") }
func (l layout) log(name string) string { return filepath.Join(l.logs(), name+".log") }

func (l layout) certificate(name string) string { return filepath.Join(l.certificates(), name) }

// componentKubeconfig is where the named component finds its own way to the API server.
func (l layout) componentKubeconfig(name string) string {
	return filepath.Join(l.certificates(), name+".kubeconfig")
}

func (l layout) create() error {
	for _, dir := range []string{l.dir, l.logs(), l.certificates()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("create %s: %w", dir, err)
		}
	}
	return nil
}
