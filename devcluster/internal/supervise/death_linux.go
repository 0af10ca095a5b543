package supervise

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes make the kernel end a component when this process ends, kill -9 included.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// parentGone tells when the parent of this process has ended.
//
// The kernel sends the signal when the *thread* that started this process ends, which in a program with a
// thread pool is not the end of the program: only a changed parent is.
func parentGone() (<-chan struct{}, error) {
	const deathSignal = unix.SIGUSR2
	parent := os.Getppid()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, deathSignal)
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(deathSignal), 0, 0, 0); err != nil {
		return nil, fmt.Errorf("ask for a signal at the parent's end: %w", err)
	}
	gone := make(chan struct{})
	if os.Getppid() != parent {
		close(gone)
		return gone, nil
	}
	go func() {
		for range signals {
			if os.Getppid() != parent {
				close(gone)
				return
			}
		}
	}()
	return gone, nil
}
