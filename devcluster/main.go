// Command devcluster runs a real Kubernetes control plane with simulated nodes on one machine.
//
// One binary holds etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok. `up` starts it
// again once for each of them, so that none shares global state with another and each can be measured alone.
package main

import (
	"fmt"
	"os"

	"plimsoll.dev/devcluster/internal/component"
	"plimsoll.dev/devcluster/internal/supervise"
)

const usage = `usage:
  devcluster up --dir DIR [--keep] [--nodes 3] [--audit-level Metadata]
  devcluster down --dir DIR
`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(arguments []string) int {
	if len(arguments) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	var err error
	switch arguments[0] {
	case "up":
		err = supervise.Up(arguments[1:])
	case "down":
		err = supervise.Down(arguments[1:])
	case supervise.ComponentVerb:
		err = component.Run(arguments[1:])
	case "-h", "--help", "help":
		fmt.Print(usage)
	default:
		fmt.Fprintf(os.Stderr, "devcluster: unknown command %q\n%s", arguments[0], usage)
		return 2
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "devcluster: failed to %v\n", err)
		return 1
	}
	return 0
}
