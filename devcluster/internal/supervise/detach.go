package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// The pipe on which the process that stays behind talks to the one that was called.
const (
	launcherDescriptor = 3
	progressMark       = "# "
)

// detach starts the cluster in a session of its own, passes on its progress, prints its ready line and
// returns. The cluster lives on.
func detach(l layout, arguments []string) error {
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open a pipe: %w", err)
	}
	defer reader.Close()
	log, err := os.OpenFile(l.log("devcluster"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer log.Close()
	command := exec.Command(executable, append([]string{"up", "--detached"}, arguments...)...)
	command.Stdout = log
	command.Stderr = log
	command.ExtraFiles = []*os.File{writer}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	// Closed here, so that the end of the other process is the end of the pipe.
	_ = writer.Close()
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		if progress, found := strings.CutPrefix(lines.Text(), progressMark); found {
			fmt.Fprintln(os.Stderr, progress)
			continue
		}
		fmt.Println(lines.Text())
		return nil
	}
	if err := command.Wait(); err != nil {
		return fmt.Errorf("start the cluster (%w); the end of %s:\n  %s", err, l.log("devcluster"),
			strings.Join(lastLines(l.log("devcluster"), 12), "\n  "))
	}
	return errors.New("start the cluster: it ended before it was ready")
}
