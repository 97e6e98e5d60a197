// Package auditclient writes to the logs of an audit server.
//
// A [Client] sends events and waits until they are on the server's disk:
//
//	client, err := auditclient.New(auditclient.Config{URL: "https://audit.example.com", Token: token})
//	_, err = client.Record(ctx, auditclient.Event{
//		Action: "create", ResourceType: "template", ResourceTarget: "web", StatusCode: 201,
//	})
//
// A [Recorder] takes events without waiting, and sends them in batches behind the
// program's back, until [Recorder.Close]. [Middleware] records what the handlers of
// an HTTP server say they did, with who asked and what was answered. [NewHandler]
// records what is logged with an [Attr].
//
// What could not be sent is sent again, with an Idempotency-Key: a batch is written
// once, however often it is sent within a day, also when the server restarts.
package auditclient
