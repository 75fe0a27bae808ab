package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// report is what a program says at its end.
type report struct {
	Clients map[string]*counts `json:"clients"`
	// Failures are the calls that failed. A client ends with its first.
	Failures []string `json:"failures"`
}

type counts struct {
	Calls  int `json:"calls"`
	Tokens int `json:"tokens"` // different ones
}

// goProgram is the program in Go: clients of Microsoft Graph that know nothing of
// graphtoken, by azidentity. See programs/clients.py.
func goProgram() {
	fmt.Println(os.Getpid())
	kinds := map[string]func() (azcore.TokenCredential, error){
		"azidentity's DefaultAzureCredential":    func() (azcore.TokenCredential, error) { return azidentity.NewDefaultAzureCredential(nil) },
		"azidentity's ManagedIdentityCredential": func() (azcore.TokenCredential, error) { return azidentity.NewManagedIdentityCredential(nil) },
	}
	each, _ := strconv.Atoi(os.Getenv("EACH")) // the test has set it
	ctx, end := context.WithCancel(context.Background())
	told := report{Clients: make(map[string]*counts)}
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, credential := range kinds {
		for n := range each {
			c := new(counts)
			told.Clients[fmt.Sprint(name, " ", n)] = c
			all.Go(func() {
				if err := call(ctx, credential, c); err != nil {
					mu.Lock()
					defer mu.Unlock()
					told.Failures = append(told.Failures, err.Error())
				}
			})
		}
	}
	_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin)) // its end is the order to end
	end()
	all.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(told) // the test misses it if it fails
}

func call(ended context.Context, kind func() (azcore.TokenCredential, error), c *counts) error {
	credential, err := kind()
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for ended.Err() == nil {
		token, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
		if err != nil {
			return err
		}
		request, err := http.NewRequest(http.MethodGet, os.Getenv("GRAPH"), nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+token.Token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(answer.Body) // of a failure, the reason
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s", answer.Status, body)
		}
		c.Calls++
		seen[token.Token] = true
		c.Tokens = len(seen)
		time.Sleep(100 * time.Millisecond) // a client's own pace
	}
	return nil
}
