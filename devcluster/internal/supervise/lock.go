package supervise

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// errTaken says that a cluster runs in the directory.
var errTaken = errors.New("a cluster runs there already")

// takeLock holds the directory's lock until this process ends. The kernel releases it with the process, so a
// lock that can be taken means that no cluster runs, whatever the pid file says.
func takeLock(l layout) (*os.File, error) {
	file, err := os.OpenFile(l.lockFile(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", l.dir, errTaken)
		}
		return nil, fmt.Errorf("lock %s: %w", l.dir, err)
	}
	return file, nil
}

func writePid(l layout) error {
	return writeFile(l.pidFile(), []byte(strconv.Itoa(os.Getpid())+"\n"))
}

func readPid(l layout) (int, error) {
	content, err := os.ReadFile(l.pidFile())
	if err != nil {
		return 0, fmt.Errorf("read the pid: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("read the pid in %s: %w", l.pidFile(), err)
	}
	return pid, nil
}
