// The real kustomize, for expectations and differential tests.
//
// Enters: `kustomize` arguments; or `batch`, with jobs as JSON lines on standard input; or `tables DIR` or `check-tables DIR`.
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
	if len(os.Args) == 3 && (os.Args[1] == "tables" || os.Args[1] == "check-tables") {
		if err := tables(os.Args[2], os.Args[1] == "check-tables"); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
			os.Exit(1)
		}
		return
	}
	if err := commands.NewDefaultCommand().Execute(); err != nil {
		os.Exit(1)
	}
}
