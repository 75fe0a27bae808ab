package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/crypto"
)

// task is a worker's task, as JSON on its first line of input.
type task struct {
	Dir, Key, KeyFile         string
	ClientID, Authority, User string
	CA, Graph                 string
}

// The words that a worker prints, one per line: it is ready; it is about to ask the
// provider for new tokens; a call of Graph failed.
const (
	saysReady   = "ready"
	saysRefresh = "refreshing"
	saysFailed  = "failed" // followed by the reason
)

// work calls Graph at intervals until stop is closed. It is a program like any other that
// shares a record: it knows nothing of the other processes.
func work(t task, stop <-chan struct{}) error {
	client, err := trusting(t.CA)
	if err != nil {
		return err
	}
	store, err := openStore(t)
	if err != nil {
		return err
	}
	app, err := msal.NewPublic(t.ClientID, msal.WithAuthority(t.Authority), msal.WithHTTPClient(client), msal.WithInstanceDiscovery(false))
	if err != nil {
		return err
	}
	source := store.TokenSource(t.Key, tokencache.Query{Username: t.User, Scopes: []string{"User.Read"}},
		func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
			fmt.Println(saysRefresh)
			return app.Refresh(ctx, c, r)
		})
	graph := &http.Client{Transport: &bearer.Transport{Source: source, Base: client.Transport}, Timeout: time.Minute}

	fmt.Println(saysReady)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return store.Flush(context.Background())
		case <-tick.C:
			if err := call(graph, t.Graph+"/v1.0/me"); err != nil {
				fmt.Println(saysFailed, err)
			}
		}
	}
}

func call(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func openStore(t task) (*core.Store, error) {
	backend, err := filesystem.New(t.Dir, filesystem.Options{})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(t.KeyFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	keys, err := crypto.ReadKeys(f)
	if err != nil {
		return nil, err
	}
	keyring, err := crypto.NewKeyring(keys[0], keys[1:]...)
	if err != nil {
		return nil, err
	}
	return core.NewStore(backend, core.WithCryptography(keyring)), nil
}

// trusting returns a client that trusts the imitation's certificate.
func trusting(caFile string) (*http.Client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}
