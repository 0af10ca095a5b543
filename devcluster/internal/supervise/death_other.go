//go:build !linux

package supervise

import "syscall"

// childAttributes: outside of Linux a component notices the end of this process by the end of its stdin.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// parentGone never tells outside of Linux; the end of stdin does.
func parentGone() (<-chan struct{}, error) {
	return nil, nil
}
