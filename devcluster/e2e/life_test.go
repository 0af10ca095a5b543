package e2e

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestEndsWithItsStdin(t *testing.T) {
	t.Parallel()
	c := up(t, "--nodes", "1")
	if err := c.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.command.Wait(); err != nil {
		t.Errorf("an end that was asked for is an error: %v", err)
	}
	expectGone(t, c)
	expectNoData(t, c)
}

func TestEndsWhenItsParentIsKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cluster")
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(executable)
	command.Env = append(os.Environ(), parentVariable+"="+dir, "DEVCLUSTER_TEST_BINARY="+binary)
	c := startCommand(t, dir, command)
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	expectGone(t, c)
	expectNoData(t, c)
}

func TestLeavesNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	c := up(t, "--nodes", "1")
	if err := c.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.command.Wait(); err == nil {
		t.Error("a killed process ended well")
	}
	expectGone(t, c)
}

func TestKeepsRunningUntilDown(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cluster")
	// The second start finds what the first one left.
	for round := range 2 {
		command := exec.Command(binary, "up", "--keep", "--dir", dir, "--nodes", "1")
		c := startCommand(t, dir, command)
		t.Cleanup(func() { _ = syscall.Kill(c.Pid, syscall.SIGKILL) })
		if err := command.Wait(); err != nil {
			t.Fatalf("up --keep ended with %v", err)
		}
		if err := c.get(t, "/api/v1/namespaces/default/configmaps/kept", nil); (err == nil) != (round == 1) {
			t.Errorf("start %d: the object of the first start: %v", round+1, err)
		}
		if round == 0 {
			c.do(t, "POST", "/api/v1/namespaces/default/configmaps", "application/json", object{"metadata": object{"name": "kept"}})
		}
		if content, err := os.ReadFile(filepath.Join(dir, "pid")); err != nil || strings.TrimSpace(string(content)) == "" {
			t.Errorf("the pid file: %q, %v", content, err)
		}
		second := exec.Command(binary, "up", "--keep", "--dir", dir)
		if output, err := second.CombinedOutput(); err == nil || !strings.Contains(string(output), "a cluster runs there already") {
			t.Errorf("a second cluster in the same directory: %v, %s", err, output)
		}
		if output, err := exec.Command(binary, "down", "--dir", dir).CombinedOutput(); err != nil {
			t.Fatalf("down: %v, %s", err, output)
		}
		for _, pid := range c.pids() {
			if alive(pid) {
				t.Errorf("process %d lives after down", pid)
			}
		}
	}
}

func TestUnreadableFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{{"up"}, {"up", "--dir", "d", "--audit-level", "All"}, {"down"}, {"sideways"}} {
		command := exec.Command(binary, arguments...)
		command.Dir = t.TempDir()
		command.Stderr = io.Discard
		var exit *exec.ExitError
		if output, err := command.Output(); !errors.As(err, &exit) || len(output) > 0 {
			t.Errorf("%v: %v, stdout %q", arguments, err, output)
		}
	}
}
