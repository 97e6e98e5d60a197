package rowfence_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rowfence/rowfence"
)

// Who asks travels in the context to where the statements are. Without a request in it
// there is a filter that selects nothing, and an error.
func ExampleFilterFrom() {
	ctx := rowfence.NewContext(context.Background(), rowfence.Request{Engine: engine(), Subject: alice, Action: "read"})
	for _, ctx := range []context.Context{ctx, context.Background()} {
		filter, err := rowfence.FilterFrom(ctx, "document")
		fmt.Println(filter.Result(), errors.Is(err, rowfence.ErrNoRequest))
	}
	// Output:
	// when false
	// never true
}

// A statement may be another action than the request's.
func ExampleRequest_To() {
	ctx := rowfence.NewContext(context.Background(), rowfence.Request{Engine: engine(), Subject: alice, Action: "read"})
	request, err := rowfence.FromContext(ctx)
	fmt.Println(request.Action, request.To("delete").Action, err)
	// Output: read delete <nil>
}
