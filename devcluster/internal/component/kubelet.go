package component

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"plimsoll.dev/devcluster/internal/simulate"
)

// serveLogs answers the API server's questions for container logs, as the kubelet of every node, and returns
// the loopback port it listens on. Nothing else of a kubelet's API is there.
func serveLogs(client kubernetes.Interface) (int, error) {
	certificate, err := ownCertificate()
	if err != nil {
		return 0, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return 0, fmt.Errorf("listen for questions for logs: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", func(answer http.ResponseWriter, question *http.Request) {
		pod, err := client.CoreV1().Pods(question.PathValue("namespace")).Get(question.Context(), question.PathValue("pod"), metav1.GetOptions{ResourceVersion: "0"})
		if err != nil {
			http.Error(answer, err.Error(), http.StatusNotFound)
			return
		}
		parameters := question.URL.Query()
		lines, err := simulate.Log(pod, question.PathValue("container"), parameters.Get("previous") == "true")
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		if tail, err := strconv.Atoi(parameters.Get("tailLines")); err == nil && tail >= 0 && tail < len(lines) {
			lines = lines[len(lines)-tail:]
		}
		answer.Header().Set("Content-Type", "text/plain")
		for _, line := range lines {
			// A reader that went away is no error of ours.
			_, _ = fmt.Fprintln(answer, line)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("read the port for logs: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(port))
}

// ownCertificate is a certificate that signs itself, as a kubelet's does; the API server does not check it.
func ownCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	content, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign the kubelet's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{content}, PrivateKey: key}, nil
}
