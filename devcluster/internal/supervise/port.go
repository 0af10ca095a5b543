package supervise

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// reservePort binds a free loopback port and keeps it bound, without listening, for the life of this process.
//
// The API server binds the same port with SO_REUSEPORT (--permit-port-sharing), so no other process can be
// given the port between choosing it and using it.
func reservePort() (int, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	unix.CloseOnExec(socket)
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, fmt.Errorf("share the port: %w", err)
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("bind a loopback port: %w", err)
	}
	bound, err := unix.Getsockname(socket)
	if err != nil {
		return 0, fmt.Errorf("read the port: %w", err)
	}
	address, ok := bound.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("read the port: %w", syscall.EAFNOSUPPORT)
	}
	return address.Port, nil
}
