package supervise

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plimsoll.dev/devcluster/internal/rest"
)

func TestLayoutStaysBelowItsDirectory(t *testing.T) {
	l, err := newLayout("some/dir")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{l.kubeconfig(), l.auditLog(), l.auditPolicy(), l.tokens(), l.pidFile(), l.lockFile(), l.etcdData(), l.etcdSocket(), l.log("x"), l.certificate("x"), l.componentKubeconfig("x")} {
		if !filepath.IsAbs(path) || !strings.HasPrefix(path, l.dir+"/") {
			t.Errorf("%s is not below %s", path, l.dir)
		}
	}
	if _, err := newLayout(""); err == nil {
		t.Error("an empty directory was taken")
	}
}

func TestOptions(t *testing.T) {
	o, err := readOptions([]string{"--dir", "d"})
	if err != nil || o.nodes != 3 || o.auditLevel != "Metadata" || o.keep {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, wrong := range [][]string{{"--dir", "d", "--nodes", "-1"}, {"--dir", "d", "--nodes", "5000"}, {"--dir", "d", "extra"}} {
		if _, err := readOptions(wrong); err == nil {
			t.Errorf("%v was taken", wrong)
		}
	}
}

func TestAuditPolicy(t *testing.T) {
	policy, err := auditPolicy("Request")
	if err != nil || !strings.Contains(policy, "- level: Request\n") {
		t.Errorf("got %q, %v", policy, err)
	}
	if _, err := auditPolicy("Everything"); err == nil {
		t.Error("an unknown level was taken")
	}
}

func TestNodesHaveRangesOfTheirOwn(t *testing.T) {
	_, all, err := net.ParseCIDR("10.128.0.0/9")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for number := 1; number <= maxNodes; number++ {
		ip, network, err := net.ParseCIDR(podRange(number))
		if err != nil || !all.Contains(ip) || !network.IP.Equal(ip) || seen[network.String()] {
			t.Fatalf("node %d: %s: %v", number, podRange(number), err)
		}
		seen[network.String()] = true
		if address := nodeAddress(number); net.ParseIP(address) == nil || seen[address] {
			t.Fatalf("node %d: %s", number, address)
		}
		seen[nodeAddress(number)] = true
	}
}

func TestReservedPortsDiffer(t *testing.T) {
	first, err := reservePort()
	if err != nil {
		t.Fatal(err)
	}
	second, err := reservePort()
	if err != nil || first == second {
		t.Errorf("got %d and %d, %v", first, second, err)
	}
	if listener, err := net.Listen("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first}).String()); err == nil {
		_ = listener.Close()
		t.Error("a reserved port was given to someone else")
	}
}

func TestAccessIsReadableAndKept(t *testing.T) {
	l, err := newLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.create(); err != nil {
		t.Fatal(err)
	}
	if err := writeCertificates(l); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(l.certificate(accountKey))
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(key); block == nil || block.Type != "EC PRIVATE KEY" {
		t.Errorf("the key of the service accounts is %v", block)
	}
	if err := writeCertificates(l); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(l.certificate(accountKey)); err != nil || string(again) != string(key) {
		t.Errorf("a second start made a new key (%v): tokens of the first would be void", err)
	}
	users, err := newUsers()
	if err != nil {
		t.Fatal(err)
	}
	if err := writeAccess(l, "https://127.0.0.1:1", users); err != nil {
		t.Fatal(err)
	}
	if _, err := rest.FromKubeconfig(l.kubeconfig()); err != nil {
		t.Error(err)
	}
	if lines := strings.Count(tokenFile(users), "\n"); lines != len(users) {
		t.Errorf("%d users, %d lines", len(users), lines)
	}
	for _, path := range []string{l.kubeconfig(), l.tokens(), l.certificate(serverKey)} {
		if information, err := os.Stat(path); err != nil || information.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v, %v", path, information, err)
		}
	}
}

func TestLockTellsWhetherAClusterRuns(t *testing.T) {
	l, err := newLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	lock, err := takeLock(l)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(l); !errors.Is(err, errTaken) {
		t.Errorf("got %v, want %v", err, errTaken)
	}
	if running, err := held(l); err != nil || !running {
		t.Errorf("got %t, %v", running, err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if running, err := held(l); err != nil || running {
		t.Errorf("got %t, %v", running, err)
	}
	if err := Down([]string{"--dir", l.dir}); err != nil {
		t.Errorf("down without a cluster: %v", err)
	}
}

func TestOnlyPipesEndACluster(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := stdinEnded(reader)
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the end of a pipe was not seen")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if stdinEnded(null) != nil {
		t.Error("/dev/null would end a cluster")
	}
}

func TestUntilTellsTheLastAnswer(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*readyPoll)
	defer cancel()
	answer := errors.New("not yet")
	err := until(ctx, "a thing", func() error { return answer })
	if !errors.Is(err, answer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lastLines(path, 2), ","); got != "two,three" {
		t.Errorf("got %q", got)
	}
}
