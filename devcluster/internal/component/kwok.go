package component

import (
	"context"
	"flag"
	"fmt"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/client"
	"sigs.k8s.io/kwok/pkg/utils/gotpl"

	"plimsoll.dev/devcluster/internal/simulate"
)

// kwok plays the kubelets of all nodes. Its controllers are used without its command line, because only so can
// the stages' templates call a function of ours.
func kwok(arguments []string) error {
	flags := flag.NewFlagSet("kwok", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of the cluster")
	if err := flags.Parse(arguments); err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	ctx := log.NewContext(context.Background(), log.NewLogger(os.Stderr, log.LevelWarn))
	config, err := kwokConfig(*kubeconfig)
	if err != nil {
		return err
	}
	if err := serveVolumes(ctx, config.TypedClient); err != nil {
		return err
	}
	controller, err := controllers.NewController(config)
	if err != nil {
		return fmt.Errorf("configure kwok: %w", err)
	}
	if err := controller.Start(ctx); err != nil {
		return fmt.Errorf("start kwok: %w", err)
	}
	select {}
}

func kwokConfig(kubeconfig string) (controllers.Config, error) {
	nothing := controllers.Config{}
	clients, err := client.NewClientset("", kubeconfig)
	if err != nil {
		return nothing, fmt.Errorf("make kwok's clients: %w", err)
	}
	restConfig, err := clients.ToRESTConfig()
	if err != nil {
		return nothing, fmt.Errorf("read kwok's kubeconfig: %w", err)
	}
	dynamicClient, err := clients.ToDynamicClient()
	if err != nil {
		return nothing, fmt.Errorf("make kwok's dynamic client: %w", err)
	}
	mapper, err := clients.ToRESTMapper()
	if err != nil {
		return nothing, fmt.Errorf("make kwok's mapper: %w", err)
	}
	restClient, err := rest.RESTClientFor(restConfig)
	if err != nil {
		return nothing, fmt.Errorf("make kwok's REST client: %w", err)
	}
	typedClient, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nothing, fmt.Errorf("make kwok's typed client: %w", err)
	}
	logsPort, err := serveLogs(typedClient)
	if err != nil {
		return nothing, err
	}
	nodeStages, err := simulate.NodeStages()
	if err != nil {
		return nothing, err
	}
	identity, err := controllers.Identity()
	if err != nil {
		return nothing, fmt.Errorf("name this kwok: %w", err)
	}
	return controllers.Config{
		Clock:                        clock.RealClock{},
		DynamicClient:                dynamicClient,
		RESTClient:                   restClient,
		RESTMapper:                   mapper,
		ImpersonatingDynamicClient:   clients.ToImpersonatingDynamicClient(),
		ImpersonatingTypedClient:     clients.ToImpersonatingTypedClient(),
		TypedClient:                  typedClient,
		ManageNodesWithLabelSelector: "!" + simulate.LostLabel,
		CIDR:                         "10.128.0.0/9",
		NodePort:                     logsPort,
		LocalStages: map[internalversion.StageResourceRef][]*internalversion.Stage{
			{APIGroup: "v1", Kind: "Node"}: nodeStages,
			{APIGroup: "v1", Kind: "Pod"}:  simulate.PodStages(),
		},
		NodeLeaseDurationSeconds:  40,
		NodeLeaseParallelism:      4,
		NodePlayStageParallelism:  4,
		PodPlayStageParallelism:   8,
		PodsOnNodeSyncParallelism: 4,
		ID:                        identity,
		FuncMap:                   gotpl.FuncMap{simulate.StatusFunction: simulate.Patch},
	}, nil
}
