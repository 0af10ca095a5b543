package supervise

import (
	"io"
	"io/fs"
	"os"
)

// stdinEnded tells when the other end of stdin is closed.
//
// Only a pipe or a socket has another end: a file, a terminal and /dev/null never end a cluster.
func stdinEnded(stdin *os.File) <-chan struct{} {
	information, err := stdin.Stat()
	if err != nil || information.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) == 0 {
		return nil
	}
	ended := make(chan struct{})
	go func() {
		// An error is an end as well.
		_, _ = io.Copy(io.Discard, stdin)
		close(ended)
	}()
	return ended
}
