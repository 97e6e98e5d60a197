package auditclient_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/auditclient"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
)

var someID = uuid.MustParse("0d8e4b43-4e4f-4d3c-9d35-6a1f5c1f2b11")

// example starts a server for an example.
func example() *server {
	s, err := open(context.Background(), pgtest.MustURL())
	if err != nil {
		panic(err)
	}
	return s
}

func (s *server) print(sql string) {
	var text string
	if err := s.pool.QueryRow(context.Background(), sql).Scan(&text); err != nil {
		panic(err)
	}
	fmt.Println(text)
}

func ExampleClient_Record() {
	server := example()
	defer server.close()

	client, err := auditclient.New(auditclient.Config{URL: server.url(), Token: token})
	if err != nil {
		panic(err)
	}
	ids, err := client.Record(context.Background(), auditclient.Event{
		Action: "write", ResourceType: "user", ResourceTarget: "ann", StatusCode: http.StatusOK,
		Diff: map[string]auditclient.Change{
			"email":    {Old: "ann@example.org", New: "ann@example.com"},
			"password": {Old: "hunter1", New: "hunter2", Secret: true},
		},
	})
	fmt.Println(len(ids), err)
	_, err = client.Record(context.Background(), auditclient.Event{Action: "crate", ResourceType: "user", StatusCode: http.StatusOK})
	fmt.Println(err)
	server.print("SELECT diff->>'password' FROM audit_logs")
	// Output:
	// 1 <nil>
	// auditclient: the server answers 422: Invalid audit events. ([0].action has invalid value: "crate" is not a valid value; did you mean "create"?)
	// {"new": "", "old": "", "secret": true}
}

func ExampleClient_RecordConnections() {
	server := example()
	defer server.close()

	client, err := auditclient.New(auditclient.Config{URL: server.url(), Token: token})
	if err != nil {
		panic(err)
	}
	connection := auditclient.Connection{
		Type: "ssh", ConnectionID: someID, OrganizationID: someID, WorkspaceOwnerID: someID, WorkspaceID: someID,
		WorkspaceName: "dev", AgentName: "main",
	}
	end := connection
	end.Action, end.ExitCode = auditclient.Disconnect, new(0)
	connection.Action = auditclient.Connect
	// The end may come before the beginning.
	_, err = client.RecordConnections(context.Background(), end, connection)
	fmt.Println(err)
	server.print("SELECT count(*) || ' row, exit code ' || max(code) FROM connection_logs")
	// Output:
	// <nil>
	// 1 row, exit code 0
}

func ExampleRecorder() {
	server := example()
	defer server.close()

	client, err := auditclient.New(auditclient.Config{URL: server.url(), Token: token})
	if err != nil {
		panic(err)
	}
	recorder := client.NewRecorder(auditclient.RecorderConfig{
		OnLost: func(l auditclient.Lost) { slog.Error("audit events are lost", "events", len(l.Events), "error", l.Err) },
	})
	for range 3 {
		if err := recorder.Record(auditclient.Event{Action: "open", ResourceType: "document", StatusCode: http.StatusOK}); err != nil {
			panic(err)
		}
	}
	fmt.Println(recorder.Close(context.Background()))
	server.print("SELECT count(*) || ' events' FROM audit_logs")
	// Output:
	// <nil>
	// 3 events
}

func ExampleMiddleware() {
	server := example()
	defer server.close()

	client, err := auditclient.New(auditclient.Config{URL: server.url(), Token: token})
	if err != nil {
		panic(err)
	}
	recorder := client.NewRecorder(auditclient.RecorderConfig{})
	handler := auditclient.Middleware(recorder, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auditclient.Identify(r.Context(), func(a *auditclient.Actor) { a.UserID = someID })
		auditclient.Did(r.Context(), auditclient.Event{Action: "delete", ResourceType: "template", ResourceTarget: "web"})
		http.Error(w, "not yours", http.StatusForbidden)
	}))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(context.Background(), http.MethodDelete, "/templates/web", nil))

	fmt.Println(recorder.Close(context.Background()))
	server.print("SELECT action || ' ' || resource_target || ' from ' || host(ip) || ': ' || status_code FROM audit_logs")
	// Output:
	// <nil>
	// delete web from 192.0.2.1: 403
}

func ExampleNewHandler() {
	server := example()
	defer server.close()

	client, err := auditclient.New(auditclient.Config{URL: server.url(), Token: token})
	if err != nil {
		panic(err)
	}
	recorder := client.NewRecorder(auditclient.RecorderConfig{})
	logger := slog.New(auditclient.NewHandler(slog.DiscardHandler, recorder))
	logger.Info("published", auditclient.Attr(auditclient.Event{
		Action: "write", ResourceType: "template", ResourceID: someID, ResourceTarget: "web",
	}))
	fmt.Println(recorder.Close(context.Background()))
	server.print("SELECT action || ' ' || resource_target || ': ' || status_code FROM audit_logs")
	// Output:
	// <nil>
	// write web: 200
}
