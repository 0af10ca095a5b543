// Package component runs one part of the control plane in this process.
package component

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"plimsoll.dev/devcluster/internal/rest"
)

// waitPoll is how often a component looks whether what it needs is there.
const waitPoll = 10 * time.Millisecond

// Run runs the component named by the first argument until this process is ended.
//
// Its stdin is a pipe that the supervisor holds: when that ends, so does the component, on every system.
func Run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("run a component: no name")
	}
	go endWithStdin()
	name := arguments[0]
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	socket := flags.String("after-socket", "", "begin when this socket accepts")
	kubeconfig := flags.String("after-server", "", "begin when the API server of this kubeconfig answers")
	run, known := map[string]func([]string) error{
		"etcd":                    etcd,
		"kube-apiserver":          apiServer,
		"kube-controller-manager": controllerManager,
		"kube-scheduler":          scheduler,
		"kwok":                    kwok,
	}[name]
	if !known {
		return fmt.Errorf("run a component: %q is none", name)
	}
	own := arguments[1:]
	if name != "etcd" {
		if err := flags.Parse(own); err != nil {
			return fmt.Errorf("read the flags: %w", err)
		}
		own = flags.Args()
	}
	if *socket != "" {
		awaitSocket(*socket)
	}
	if *kubeconfig != "" {
		if err := awaitServer(*kubeconfig); err != nil {
			return err
		}
	}
	return run(own)
}

func endWithStdin() {
	// An error is an end as well.
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

func awaitSocket(path string) {
	for {
		connection, err := net.Dial("unix", path)
		if err == nil {
			_ = connection.Close()
			return
		}
		time.Sleep(waitPoll)
	}
}

func awaitServer(kubeconfig string) error {
	client, err := rest.FromKubeconfig(kubeconfig)
	if err != nil {
		return err
	}
	for client.Get(context.Background(), "/version", nil) != nil {
		time.Sleep(waitPoll)
	}
	return nil
}
