package supervise

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// File names below the certificates directory.
const (
	authorityCertificate = "authority.crt"
	serverCertificate    = "server.crt"
	serverKey            = "server.key"
	accountKey           = "service-account.key"
)

// writeCertificates makes the authority, the API server's certificate and the key that signs service account
// tokens. A cluster that is started again in the same directory keeps what it has.
func writeCertificates(l layout) error {
	if _, err := os.Stat(l.certificate(accountKey)); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the certificates: %w", err)
	}
	authorityPrivate, err := newKey()
	if err != nil {
		return err
	}
	authority := certificateTemplate("devcluster", 1)
	authority.IsCA = true
	authority.BasicConstraintsValid = true
	authority.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	authorityBytes, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityPrivate.Public(), authorityPrivate)
	if err != nil {
		return fmt.Errorf("sign the authority's certificate: %w", err)
	}
	serverPrivate, err := newKey()
	if err != nil {
		return err
	}
	server := certificateTemplate("kube-apiserver", 2)
	server.KeyUsage = x509.KeyUsageDigitalSignature
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}
	serverBytes, err := x509.CreateCertificate(rand.Reader, server, authority, serverPrivate.Public(), authorityPrivate)
	if err != nil {
		return fmt.Errorf("sign the API server's certificate: %w", err)
	}
	accountPrivate, err := newKey()
	if err != nil {
		return err
	}
	if err := writePEM(l.certificate(authorityCertificate), "CERTIFICATE", authorityBytes); err != nil {
		return err
	}
	if err := writePEM(l.certificate(serverCertificate), "CERTIFICATE", serverBytes); err != nil {
		return err
	}
	if err := writeKey(l.certificate(serverKey), serverPrivate); err != nil {
		return err
	}
	return writeKey(l.certificate(accountKey), accountPrivate)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func certificateTemplate(name string, serial int64) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
	}
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	bytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key %s: %w", path, err)
	}
	return writePEM(path, "EC PRIVATE KEY", bytes)
}

func writePEM(path, kind string, bytes []byte) error {
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
}

func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
