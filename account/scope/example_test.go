package scope_test

import (
	"fmt"

	"github.com/graphtoken/graphtoken/account/scope"
)

func ExampleFor() {
	for _, s := range scope.For("basic", "message_all", "Chat.Read") {
		fmt.Println(s)
	}
	// Output:
	// https://graph.microsoft.com/User.Read
	// https://graph.microsoft.com/Mail.ReadWrite
	// https://graph.microsoft.com/Mail.Send
	// https://graph.microsoft.com/Chat.Read
}

func ExampleResource_For() {
	fmt.Println(scope.GraphChina.For("basic"))
	// Output: [https://microsoftgraph.chinacloudapi.cn/User.Read]
}
