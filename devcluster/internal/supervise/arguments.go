package supervise

import "fmt"

// etcdSocketName is relative: etcd and the API server both run in the cluster's directory, and a path of any
// length would not fit into a socket's address. etcd wants a port in an address; here it is part of the name.
const etcdSocketName = "etcd.socket:0"

func etcdArguments(l layout) []string {
	return []string{"--data-dir=" + l.etcdData(), "--socket=" + etcdSocketName}
}

func apiServerArguments(l layout, port int) []string {
	return []string{
		"--etcd-servers=unix://" + etcdSocketName,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--permit-port-sharing=true",
		"--tls-cert-file=" + l.certificate(serverCertificate),
		"--tls-private-key-file=" + l.certificate(serverKey),
		"--token-auth-file=" + l.tokens(),
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.certificate(accountKey),
		"--service-account-signing-key-file=" + l.certificate(accountKey),
		// The address of the `kubernetes` service may not be a loopback one, and nothing here goes through it.
		"--endpoint-reconciler-type=none",
		"--advertise-address=10.96.0.2",
		"--kubelet-preferred-address-types=ExternalIP",
		"--audit-policy-file=" + l.auditPolicy(),
		"--audit-log-path=" + l.auditLog(),
		"--audit-log-mode=blocking",
		"--audit-log-format=json",
		"--audit-log-maxsize=100000",
		"--profiling=false",
		"--shutdown-delay-duration=0s",
		"--v=0",
	}
}

// disabledControllers have nothing to do here: there are no kubelets with certificates, no cloud and no
// devices.
var disabledControllers = []string{
	"bootstrap-signer-controller",
	"token-cleaner-controller",
	"certificatesigningrequest-signing-controller",
	"certificatesigningrequest-approving-controller",
	"certificatesigningrequest-cleaner-controller",
	"podcertificaterequest-cleaner-controller",
	"node-ipam-controller",
	"legacy-serviceaccount-token-cleaner-controller",
	"persistentvolume-attach-detach-controller",
	"persistentvolume-expander-controller",
	"device-taint-eviction-controller",
	"resourceclaim-controller",
}

func controllerManagerArguments(l layout) []string {
	controllers := "*"
	for _, name := range disabledControllers {
		controllers += ",-" + name
	}
	return []string{
		"--kubeconfig=" + l.componentKubeconfig(controllerManagerName),
		"--leader-elect=false",
		"--secure-port=0",
		"--controllers=" + controllers,
		"--controller-start-interval=0s",
		"--service-account-private-key-file=" + l.certificate(accountKey),
		"--root-ca-file=" + l.certificate(authorityCertificate),
		"--use-service-account-credentials=false",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		"--concurrent-deployment-syncs=10",
		"--concurrent-replicaset-syncs=10",
		"--concurrent-statefulset-syncs=10",
		"--concurrent-daemonset-syncs=5",
		"--concurrent-namespace-syncs=10",
		"--concurrent-gc-syncs=10",
		"--node-monitor-period=1s",
		"--pvclaimbinder-sync-period=1s",
		"--horizontal-pod-autoscaler-sync-period=5s",
		"--resource-quota-sync-period=10s",
		"--namespace-sync-period=1s",
		// Two and a half renewals of a node's lease: a lost node is noticed sooner than by default.
		"--node-monitor-grace-period=25s",
		"--profiling=false",
		"--v=0",
	}
}

func schedulerArguments(l layout) []string {
	return []string{
		"--kubeconfig=" + l.componentKubeconfig(schedulerName),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		"--profiling=false",
		"--v=0",
	}
}

func kwokArguments(l layout) []string {
	return []string{"--kubeconfig=" + l.componentKubeconfig(kwokName)}
}

// afterSocket and afterServer tell a component what must answer before it begins, so that all processes can
// load at the same time without one of them falling into a retry of seconds.
func afterSocket(path string, arguments []string) []string {
	return append([]string{"--after-socket=" + path, "--"}, arguments...)
}

func afterServer(kubeconfig string, arguments []string) []string {
	return append([]string{"--after-server=" + kubeconfig, "--"}, arguments...)
}
