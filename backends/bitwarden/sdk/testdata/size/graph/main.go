// Command graph calls Microsoft Graph: what the other two do besides.
package main

import "net/http"

func main() {
	res, err := http.Get("https://graph.microsoft.com/v1.0/me")
	if err == nil {
		println(res.Status)
	}
}
