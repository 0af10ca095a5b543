// The real kustomize, for expectations and differential tests.
//
// Enters: `kustomize` arguments, or with `batch` as the first one, jobs as JSON lines on standard input.
// Leaves: what the real command line prints, or answers as JSON lines, in the order of the jobs.
// Never: part of the product; never used to render anything that is shipped.
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/kustomize/kustomize/v5/commands"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "batch" {
		if err := batch(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
			os.Exit(1)
		}
		return
	}
	if err := commands.NewDefaultCommand().Execute(); err != nil {
		os.Exit(1)
	}
}
