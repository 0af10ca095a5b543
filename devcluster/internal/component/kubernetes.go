package component

import (
	"fmt"
	_ "time/tzdata" // time zones of CronJobs

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // without it the components' metrics are nil
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubescheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func apiServer(arguments []string) error { return execute(apiserver.NewAPIServerCommand(), arguments) }

func controllerManager(arguments []string) error {
	return execute(controllermanager.NewControllerManagerCommand(), arguments)
}

func scheduler(arguments []string) error {
	return execute(kubescheduler.NewSchedulerCommand(), arguments)
}

func execute(command *cobra.Command, arguments []string) error {
	command.SetArgs(arguments)
	if code := cli.Run(command); code != 0 {
		return fmt.Errorf("run %s: exit code %d", command.Name(), code)
	}
	return nil
}
