package page

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/graphtoken/graphtoken/account"
	adapter "github.com/graphtoken/graphtoken/adapters/azcore"
)

func AzureClient(ana *account.Account) (*azcore.Client, error) {
	credential := adapter.New(ana, adapter.Options{}) // wherever one of azidentity's goes
	auth := runtime.NewBearerTokenPolicy(credential, []string{"https://graph.microsoft.com/.default"}, nil)
	return azcore.NewClient("example", "v1.0.0", runtime.PipelineOptions{PerRetry: []policy.Policy{auth}}, nil)
}
