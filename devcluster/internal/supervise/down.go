package supervise

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"
)

// How long `down` waits for a cluster to end by itself, and then for it to be gone.
const (
	endPatience = 10 * time.Second
	endPoll     = 20 * time.Millisecond
)

// Down ends the cluster of one directory and waits until it is gone. No cluster there is not an error.
func Down(arguments []string) error {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of the cluster")
	if err := flags.Parse(arguments); err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	l, err := newLayout(*dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(l.lockFile()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	running, err := held(l)
	if err != nil || !running {
		return err
	}
	pid, err := readPid(l)
	if err != nil {
		return err
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end process %d: %w", pid, err)
		}
		for deadline := time.Now().Add(endPatience); time.Now().Before(deadline); time.Sleep(endPoll) {
			if running, err = held(l); err != nil || !running {
				return err
			}
		}
	}
	return fmt.Errorf("end process %d: it holds %s still", pid, l.lockFile())
}

// held tells whether a cluster holds the directory.
func held(l layout) (bool, error) {
	lock, err := takeLock(l)
	if errors.Is(err, errTaken) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, lock.Close()
}
