package supervise

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// ComponentVerb is the hidden command that runs one component in this binary.
const ComponentVerb = "component"

// process is one component, started from this same binary.
type process struct {
	name    string
	command *exec.Cmd
	stdin   io.Closer
	log     string
	done    chan struct{}
	exit    error // readable once done is closed
}

// start runs a component with its output in its own log file.
//
// It must be called on the thread that lives as long as this process: Linux ends a child when the *thread*
// that started it ends. Elsewhere, and as a second string, the child ends when its stdin does.
func start(l layout, name string, ended chan<- *process, arguments ...string) (*process, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	output, err := os.OpenFile(l.log(name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer output.Close()
	command := exec.Command(executable, append([]string{ComponentVerb, name}, arguments...)...)
	// Clients call themselves, in user agents and as field managers, by the name of their program.
	command.Args[0] = name
	command.Dir = l.dir
	command.Stdout = output
	command.Stderr = output
	command.SysProcAttr = childAttributes()
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open the stdin of %s: %w", name, err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, command: command, stdin: stdin, log: l.log(name), done: make(chan struct{})}
	go func() {
		p.exit = command.Wait()
		close(p.done)
		ended <- p
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// end stops the process: at once, or when it has had time to put its data away.
func (p *process) end(signal syscall.Signal, patience time.Duration) {
	// An error means that it is gone already, which is what is wanted.
	_ = p.command.Process.Signal(signal)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.command.Process.Kill()
		<-p.done
	}
}

// lastLines is the end of a log, for a message about a component that did not live.
func lastLines(path string, count int) []string {
	file, err := os.Open(path)
	if err != nil {
		return []string{err.Error()}
	}
	defer file.Close()
	const tail = 64 << 10
	if size, err := file.Seek(0, io.SeekEnd); err == nil && size > tail {
		_, _ = file.Seek(-tail, io.SeekEnd)
	} else {
		_, _ = file.Seek(0, io.SeekStart)
	}
	var lines []string
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, tail)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return lines[max(0, len(lines)-count):]
}
