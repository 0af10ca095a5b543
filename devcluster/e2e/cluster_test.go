// Package e2e starts real clusters with the real binary.
package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"plimsoll.dev/devcluster/internal/rest"
)

// patience bounds each wait, on a machine that is busy with other things.
const patience = 60 * time.Second

// endsWithin is how long a cluster may take to be gone, the kernel's and this machine's delays included.
const endsWithin = 5 * time.Second

// parentVariable makes this test binary a parent of a cluster that can be killed.
const parentVariable = "DEVCLUSTER_TEST_PARENT_OF"

var binary string

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		os.Exit(parent(os.Getenv("DEVCLUSTER_TEST_BINARY"), dir))
	}
	build := exec.Command("../build.sh")
	build.Stderr = os.Stderr
	output, err := build.Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed to build devcluster:", err)
		os.Exit(1)
	}
	binary = strings.TrimSpace(string(output))
	os.Exit(m.Run())
}

// parent starts a cluster whose stdin says nothing, and waits to be killed.
func parent(program, dir string) int {
	command := exec.Command(program, "up", "--dir", dir, "--nodes", "1")
	command.Stdout = os.Stdout
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return 1
	}
	return 0
}

// ready is the line that `up` prints.
type ready struct {
	Ready      bool           `json:"ready"`
	Kubeconfig string         `json:"kubeconfig"`
	Server     string         `json:"server"`
	AuditLog   string         `json:"auditLog"`
	Pid        int            `json:"pid"`
	Processes  map[string]int `json:"processes"`
}

func (r ready) pids() []int {
	pids := []int{r.Pid}
	for _, pid := range r.Processes {
		pids = append(pids, pid)
	}
	return pids
}

// cluster is one that runs.
type cluster struct {
	ready
	dir     string
	client  *rest.Client
	command *exec.Cmd
	stdin   io.Closer
}

// startCommand runs a command that prints a ready line, and reads it.
func startCommand(t *testing.T, dir string, command *exec.Cmd) *cluster {
	t.Helper()
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	lines := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			line = fmt.Sprintf("no line: %v", err)
		}
		lines <- line
	}()
	c := &cluster{dir: dir, command: command}
	select {
	case line := <-lines:
		if err := json.Unmarshal([]byte(line), &c.ready); err != nil || !c.Ready {
			t.Fatalf("the ready line is %q: %v", line, err)
		}
	case <-time.After(patience):
		t.Fatal("no ready line came")
	}
	if len(c.Processes) != 5 {
		t.Fatalf("the ready line names the processes %v", c.Processes)
	}
	c.client, err = rest.FromKubeconfig(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// up starts a cluster that lives as long as its stdin.
func up(t *testing.T, arguments ...string) *cluster {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	command := exec.Command(binary, append([]string{"up", "--dir", dir}, arguments...)...)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := startCommand(t, dir, command)
	c.stdin = stdin
	return c
}

func (c *cluster) get(t *testing.T, path string, into any) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.client.Get(ctx, path, into)
}

func (c *cluster) do(t *testing.T, method, path, contentType string, body any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.client.Do(ctx, method, path, contentType, body, nil); err != nil {
		t.Fatal(err)
	}
}

// eventually asks until there is no complaint left.
func eventually(t *testing.T, within time.Duration, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: not within %s: %v", what, within, err)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// expectGone waits until no process of a cluster is left.
func expectGone(t *testing.T, c *cluster) {
	t.Helper()
	begin := time.Now()
	eventually(t, endsWithin, "the end of "+c.dir, func() error {
		for _, pid := range c.pids() {
			if alive(pid) {
				return fmt.Errorf("process %d lives", pid)
			}
		}
		return nil
	})
	t.Logf("gone after %.1f s", time.Since(begin).Seconds())
}

// alive tells whether a process runs; one that only waits to be collected does not.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func expectNoData(t *testing.T, c *cluster) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(c.dir, "etcd")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data of etcd was left behind: %v", err)
	}
}
