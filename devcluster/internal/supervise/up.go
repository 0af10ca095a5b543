// Package supervise starts the processes of one cluster, watches them and ends them together.
package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"plimsoll.dev/devcluster/internal/rest"
)

// startPatience bounds the time from start to the ready line, on a machine that is busy with other things.
const startPatience = 3 * time.Minute

// etcdPatience is how long etcd may take to close its data when it is to be kept.
const etcdPatience = 2 * time.Second

// options are the flags of `up`.
type options struct {
	dir        string
	keep       bool
	nodes      int
	auditLevel string
	detached   bool // set by the process that --keep leaves behind, never by a person
}

func readOptions(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "", "directory of the cluster; everything of it is below")
	flags.BoolVar(&o.keep, "keep", false, "leave the cluster running in the background; `devcluster down` ends it")
	flags.IntVar(&o.nodes, "nodes", 3, "number of nodes")
	flags.StringVar(&o.auditLevel, "audit-level", "Metadata", "level of the API server's audit log")
	flags.BoolVar(&o.detached, "detached", false, "internal")
	if err := flags.Parse(arguments); err != nil {
		return o, fmt.Errorf("read the flags: %w", err)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("read the flags: unexpected %q", flags.Arg(0))
	}
	if o.nodes < 0 || o.nodes > maxNodes {
		return o, fmt.Errorf("read the flags: --nodes %d is not between 0 and %d", o.nodes, maxNodes)
	}
	return o, nil
}

// ready is the one line on stdout.
type ready struct {
	Ready      bool           `json:"ready"`
	Kubeconfig string         `json:"kubeconfig"`
	Server     string         `json:"server"`
	AuditLog   string         `json:"auditLog"`
	Pid        int            `json:"pid"`
	Processes  map[string]int `json:"processes"`
}

// Up runs a cluster until it is told to end, its parent ends or its stdin ends.
func Up(arguments []string) error {
	// Components end with the thread that started them; the first thread lives as long as the process.
	runtime.LockOSThread()
	o, err := readOptions(arguments)
	if err != nil {
		return err
	}
	l, err := newLayout(o.dir)
	if err != nil {
		return err
	}
	policy, err := auditPolicy(o.auditLevel)
	if err != nil {
		return err
	}
	if err := l.create(); err != nil {
		return err
	}
	if o.keep && !o.detached {
		return detach(l, arguments)
	}
	lock, err := takeLock(l)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := writePid(l); err != nil {
		return err
	}
	defer os.Remove(l.pidFile())
	if err := writeFile(l.auditPolicy(), []byte(policy)); err != nil {
		return err
	}
	return serve(l, o)
}

// serve starts the processes and ends them on every way out.
func serve(l layout, o options) error {
	ctx, stop, err := lifetime(o)
	if err != nil {
		return err
	}
	defer stop(nil)
	out, progress := output(o)

	if err := writeCertificates(l); err != nil {
		return err
	}
	users, err := newUsers()
	if err != nil {
		return err
	}
	port, err := reservePort()
	if err != nil {
		return err
	}
	server := fmt.Sprintf("https://127.0.0.1:%d", port)
	if err := writeAccess(l, server, users); err != nil {
		return err
	}
	if err := removeRemains(l, o.keep); err != nil {
		return err
	}
	if err := removeOldAudit(l); err != nil {
		return err
	}

	ended := make(chan *process, 8)
	var processes []*process
	defer func() { endAll(l, processes, o.keep) }()
	pids := map[string]int{}
	for _, component := range []struct {
		name      string
		arguments []string
	}{
		{etcdName, etcdArguments(l)},
		{apiServerName, afterSocket(etcdSocketName, apiServerArguments(l, port))},
		{controllerManagerName, afterServer(l.componentKubeconfig(controllerManagerName), controllerManagerArguments(l))},
		{kwokName, afterServer(l.componentKubeconfig(kwokName), kwokArguments(l))},
		{schedulerName, afterServer(l.componentKubeconfig(schedulerName), schedulerArguments(l))},
	} {
		p, err := start(l, component.name, ended, component.arguments...)
		if err != nil {
			return err
		}
		processes = append(processes, p)
		pids[p.name] = p.pid()
	}
	go func() {
		p := <-ended
		stop(fmt.Errorf("keep %s running (%w); the end of %s:\n  %s", p.name, exitError(p), p.log,
			strings.Join(lastLines(p.log, 8), "\n  ")))
	}()

	authority, err := os.ReadFile(l.certificate(authorityCertificate))
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	client, err := rest.New(server, users[supervisorUser].token, authority)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startPatience)
	err = becomeReady(starting, client, o.nodes, progress)
	cancel()
	if ctx.Err() != nil {
		return ending(ctx)
	}
	if err != nil {
		return err
	}
	line, err := json.Marshal(ready{Ready: true, Kubeconfig: l.kubeconfig(), Server: server, AuditLog: l.auditLog(),
		Pid: os.Getpid(), Processes: pids})
	if err != nil {
		return fmt.Errorf("encode the ready line: %w", err)
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("print the ready line: %w", err)
	}
	<-ctx.Done()
	return ending(ctx)
}

// errEnd is the cause of an end that was asked for.
var errEnd = errors.New("end")

func ending(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, errEnd) {
		return cause
	}
	return nil
}

func exitError(p *process) error {
	if p.exit != nil {
		return p.exit
	}
	return errors.New("it ended without an error")
}

// lifetime is a context that ends with a signal and, unless the cluster is kept, with the parent and stdin.
func lifetime(o options) (context.Context, context.CancelCauseFunc, error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	var parent, stdin <-chan struct{}
	if !o.keep {
		var err error
		if parent, err = parentGone(); err != nil {
			return nil, nil, err
		}
		stdin = stdinEnded(os.Stdin)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	go func() {
		select {
		case <-signals:
		case <-parent:
		case <-stdin:
		case <-ctx.Done():
		}
		stop(errEnd)
	}()
	return ctx, stop, nil
}

// output is where the ready line goes, and where progress does.
func output(o options) (io.Writer, func(string)) {
	begin := time.Now()
	if o.detached {
		launcher := os.NewFile(launcherDescriptor, "launcher")
		return launcher, func(line string) { fmt.Fprintf(launcher, "%s%s\n", progressMark, progressLine(begin, line)) }
	}
	return os.Stdout, func(line string) { fmt.Fprintln(os.Stderr, progressLine(begin, line)) }
}

func progressLine(begin time.Time, line string) string {
	return fmt.Sprintf("devcluster: %s (%.1f s)", line, time.Since(begin).Seconds())
}

// endAll ends the processes. Only etcd has something to put away, and only when its data is kept.
func endAll(l layout, processes []*process, keep bool) {
	for index := len(processes) - 1; index >= 0; index-- {
		p := processes[index]
		if p.name == etcdName && keep {
			p.end(syscall.SIGTERM, etcdPatience)
		} else {
			p.end(syscall.SIGKILL, etcdPatience)
		}
	}
	// What cannot be removed now is removed by the next start.
	_ = removeRemains(l, keep)
}

// removeRemains removes what a cluster leaves: sockets that nobody serves and, without --keep, the data.
func removeRemains(l layout, keep bool) error {
	remains := []string{l.etcdSocket(), l.etcdPeerSocket()}
	if !keep {
		remains = append(remains, l.etcdData())
	}
	for _, path := range remains {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove what an earlier cluster left: %w", err)
		}
	}
	return nil
}

// removeOldAudit removes the audit log of data that is no longer there.
func removeOldAudit(l layout) error {
	if _, err := os.Stat(l.etcdData()); err == nil {
		return nil
	}
	if err := os.RemoveAll(l.auditLog()); err != nil {
		return fmt.Errorf("remove the old audit log: %w", err)
	}
	return nil
}
