package contexts_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/mabuild/mabuild/builder/contexts"
)

func ExampleClient_Open() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "FROM busybox")
	}))
	defer server.Close()

	client := contexts.New(contexts.Options{})
	defer client.Close()
	opened, err := client.Open(context.Background(), server.URL+"/Dockerfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, name, err := opened.Dockerfile(context.Background(), "")
	fmt.Printf("%s %s: %s %v\n", opened.Kind, name, text, err)
	// Output:
	// file Dockerfile: FROM busybox
	//  <nil>
}
