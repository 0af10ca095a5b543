// Package rest is a small JSON client for the API server of one devcluster.
//
// It needs nothing but the standard library, so that what uses it (the supervisor, the end-to-end test) is
// built in seconds, and it reads only the kubeconfigs that devcluster itself writes.
package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// requestTimeout bounds one request, its body included.
const requestTimeout = 10 * time.Second

// bodyLimit bounds what is read of one response, in bytes.
const bodyLimit = 64 << 20

// Client talks to one API server as one user.
type Client struct {
	server string
	token  string
	http   *http.Client
}

// StatusError is an answer of the API server outside of 2xx.
type StatusError struct {
	Code    int
	Message string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Code, e.Message) }

// New makes a client. authority is the PEM certificate that signs the server's.
func New(server, token string, authority []byte) (*Client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("read the authority's certificate: no certificate in it")
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13},
		ForceAttemptHTTP2: true,
	}
	return &Client{server: server, token: token, http: &http.Client{Transport: transport, Timeout: requestTimeout}}, nil
}

// FromKubeconfig makes the client that a kubeconfig written by devcluster describes.
func FromKubeconfig(path string) (*Client, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	var document struct {
		Clusters []struct {
			Cluster struct {
				Server    string `json:"server"`
				Authority string `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Token string `json:"token"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := json.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", path, err)
	}
	if len(document.Clusters) != 1 || len(document.Users) != 1 {
		return nil, fmt.Errorf("read the kubeconfig %s: it has not one cluster and one user", path)
	}
	authority, err := base64.StdEncoding.DecodeString(document.Clusters[0].Cluster.Authority)
	if err != nil {
		return nil, fmt.Errorf("read the authority in %s: %w", path, err)
	}
	return New(document.Clusters[0].Cluster.Server, document.Users[0].User.Token, authority)
}

// Get reads one path into a value; nil drops the body.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	return c.Do(ctx, http.MethodGet, path, "", nil, into)
}

// Create posts one object.
func (c *Client) Create(ctx context.Context, path string, object any) error {
	return c.Do(ctx, http.MethodPost, path, "application/json", object, nil)
}

// Do sends one request with a JSON body (nil for none) and reads the answer into a value (nil drops it).
func (c *Client) Do(ctx context.Context, method, path, contentType string, body, into any) error {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, reader)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "devcluster")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s %s: %w", method, path, &StatusError{Code: response.StatusCode, Message: statusMessage(content)})
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("decode the answer of %s %s: %w", method, path, err)
	}
	return nil
}

// statusMessage is the message of a Status object, or the start of the text as it came.
func statusMessage(content []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(content, &status); err == nil && status.Message != "" {
		return status.Message
	}
	const limit = 300
	if len(content) > limit {
		content = content[:limit]
	}
	return string(content)
}
