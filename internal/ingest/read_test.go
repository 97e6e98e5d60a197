package ingest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/ingest"
)

var now = time.Date(2026, 4, 9, 12, 0, 0, 123456789, time.UTC)

func noKinds([]string) ([]string, error) { return nil, nil }

func readAudit(body string) ([]audit.Event, error) {
	return ingest.Audit([]byte(body), ingest.JSON, now, noKinds)
}

const minimal = `"resource_type": "template", "action": "create", "status_code": 201`

func TestAudit(t *testing.T) {
	events, err := readAudit(`[{"time": "2026-04-09T14:00:00.1234567+02:00", "user_id": "00000000-0000-0000-0000-00000000000a",
		"organization_id": "00000000-0000-0000-0000-00000000000b", "resource_type": "template", "resource_id": "00000000-0000-0000-0000-00000000000C",
		"resource_target": "a \"quoted\" 😀 \ud83d\ude00 {name}", "resource_icon": "/i", "resource_link": "/l", "resource_owner_id": "00000000-0000-0000-0000-00000000000d",
		"action": "write", "status_code": 200, "diff": {"n": {"old": 1, "new": 1.50, "secret": false}}, "additional_fields": {"a": [1, {"b": null}]},
		"request_id": "00000000-0000-0000-0000-00000000000e", "ip": "::ffff:10.0.0.1", "user_agent": "curl", "build_reason": "cli"},
		{` + minimal + `, "user_id": null, "ip": "", "diff": null}]`)
	require.NoError(t, err)
	e := events[0]
	require.NotEqual(t, uuid.Nil, e.ID)
	require.Equal(t, time.Date(2026, 4, 9, 12, 0, 0, 123456000, time.UTC), e.Time)
	require.Equal(t, []byte{0xa, 0xb, 0xc, 0xd, 0xe}, []byte{e.UserID[15], e.OrganizationID[15], e.ResourceID[15], e.ResourceOwnerID[15], e.RequestID[15]})
	require.Equal(t, "a \"quoted\" 😀 😀 {name}", e.ResourceTarget)
	require.Equal(t, "10.0.0.1/32", e.IP.String())
	require.JSONEq(t, `{"n": {"old": 1, "new": 1.50, "secret": false}}`, string(e.Diff))
	require.JSONEq(t, `{"a": [1, {"b": null}]}`, string(e.AdditionalFields))
	require.Equal(t, now.Truncate(time.Microsecond), events[1].Time)
	require.Equal(t, "{}", string(events[1].Diff))
	require.False(t, events[1].IP.IsValid())

	for format, bodies := range map[ingest.Format][]string{
		ingest.JSON:   {" {" + minimal + "} ", "[{" + minimal + "}]"},
		ingest.NDJSON: {"{" + minimal + "}", "\n{" + minimal + "}\r\n\n  \n"},
	} {
		for _, body := range bodies {
			events, err := ingest.Audit([]byte(body), format, now, noKinds)
			require.NoError(t, err, body)
			require.Len(t, events, 1)
		}
	}
}

func TestSecretsAreDropped(t *testing.T) {
	events, err := readAudit(`{` + minimal + `, "diff": {"name": {"old": "a", "new": 12345678901234567890, "secret": false},
		"key": {"old": "hunter1", "new": {"deep": "hunter2"}, "secret": true}}}`)
	require.NoError(t, err)
	require.JSONEq(t, `{"name": {"old": "a", "new": 12345678901234567890, "secret": false}, "key": {"old": "", "new": "", "secret": true}}`, string(events[0].Diff))
	require.Contains(t, string(events[0].Diff), "12345678901234567890")
	require.NotContains(t, string(events[0].Diff), "hunter")
}

func TestAuditProblems(t *testing.T) {
	for _, c := range []struct{ fields, field, detail string }{
		{`"action": "create", "status_code": 200`, "resource_type", "is required"},
		{minimal + `, "actoin": 1`, "actoin", `is not a field of the event; did you mean "action"?`},
		{minimal + `, "Action": "create"`, "Action", "is not a field"},
		{minimal + `, "action": "create"`, "action", "is given twice"},
		{minimal + `, "ip": null, "ip": "10.0.0.1"`, "ip", "is given twice"},
		{`"resource_type": "template", "action": "created", "status_code": 201`, "action", `has invalid value: "created" is not a valid value; did you mean "create"?`},
		{`"resource_type": "templates", "action": "create", "status_code": 201`, "resource_type", `"templates" is not a valid value; did you mean "template"?`},
		{`"resource_type": null, "action": "create", "status_code": 201`, "resource_type", "must be a string, and is null"},
		{`"resource_type": "template", "action": "create", "status_code": 99`, "status_code", "must be an integer from 100 to 599"},
		{`"resource_type": "template", "action": "create", "status_code": 200.5`, "status_code", "must be an integer"},
		{`"resource_type": "template", "action": "create", "status_code": "200"`, "status_code", "must be an integer"},
		{`"resource_type": "template", "action": "create", "status_code": null`, "status_code", "must be an integer"},
		{minimal + `, "user_id": "me"`, "user_id", `must be a uuid: "me" is not`},
		{minimal + `, "user_id": 5`, "user_id", "must be a string, and is a number"},
		{minimal + `, "user_id": "{00000000-0000-0000-0000-00000000000a}"`, "user_id", "must be a uuid"},
		{minimal + `, "time": "2026-04-09"`, "time", "must be an RFC 3339 time"},
		{minimal + `, "time": "2126-04-09T00:00:00Z"`, "time", "must not be more than 24 hours ahead"},
		{minimal + `, "time": "0000-12-31T00:00:00Z"`, "time", "must be in the years 1 to 9999"},
		{minimal + `, "ip": "10.0.0"`, "ip", "must be an IP address"},
		{minimal + `, "ip": "fe80::1%eth0"`, "ip", "must be an IP address"},
		{minimal + `, "resource_target": "` + strings.Repeat("x", 2001) + `"`, "resource_target", "must be at most 2000 bytes long, and has 2001"},
		{minimal + `, "user_agent": "a\u0000b"`, "", `has a NUL character`},
		{minimal + `, "user_agent": "\ud83d"`, "", `has half of a surrogate pair (\ud83d)`},
		{minimal + `, "user_agent": "\ud83dx\ude00"`, "", "has half of a surrogate pair"},
		{minimal + `, "user_agent": "\ude00\ud83d"`, "", "has half of a surrogate pair"},
		{minimal + `, "additional_fields": {"a": 1e999999}`, "", "has a number whose exponent is beyond 400"},
		{minimal + `, "additional_fields": {"a": ` + strings.Repeat("9", 401) + `}`, "", "has a number of more than 400 characters"},
		{minimal + `, "additional_fields": ` + strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70), "", "is nested more than 64 deep"},
		{minimal + `, "additional_fields": []`, "additional_fields", "must be an object, and is an array"},
		{minimal + `, "additional_fields": {"a": "` + strings.Repeat("x", 256<<10) + `"}`, "additional_fields", "must be at most 262144 bytes long"},
		{minimal + `, "diff": {"a": 1}`, "diff", `"a" must be {"old": …, "new": …, "secret": false}, and is a number`},
		{minimal + `, "diff": {"a": {"old": 1, "new": 2}}`, "diff", `"a" must say whether it is secret`},
		{minimal + `, "diff": {"a": {"secret": "no"}, "b": {"Secret": false}}`, "diff",
			`"a" must have a boolean as secret, which is a string; "b" has "Secret", which is none of old, new and secret; "b" must say whether it is secret`},
		{minimal + `, "diff": {"a": {"secret": true, "secret": false}}`, "diff", `"a" has "secret" twice`},
		{minimal + `, "diff": {"a": {"secret": true}, "a": {"secret": false}}`, "diff", `"a" is given twice`},
	} {
		_, err := readAudit("{" + c.fields + "}")
		var problems ingest.Problems
		require.ErrorAs(t, err, &problems, c.fields)
		require.Len(t, problems, 1, c.fields)
		require.Equal(t, c.field, problems[0].Field, c.fields)
		require.Contains(t, problems[0].Detail, c.detail)
		require.Less(t, len(problems[0].Detail), 400)
	}
}

func TestAllProblemsByIndex(t *testing.T) {
	_, err := readAudit(`[{` + minimal + `}, 5, {"action": "x", "status_code": 1, "q": 1}]`)
	var problems ingest.Problems
	require.ErrorAs(t, err, &problems)
	var fields []string
	for _, p := range problems {
		fields = append(fields, p.Field)
	}
	require.Equal(t, []string{"[1]", "[2].action", "[2].status_code", "[2].q", "[2].resource_type"}, fields)

	_, err = readAudit("[" + strings.Repeat("{},", 999) + "{}]")
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 101)
	require.Equal(t, "there are more problems", problems[100].Detail)
	_, err = readAudit("[]")
	require.ErrorAs(t, err, &problems)
}

func TestMalformedBodies(t *testing.T) {
	for format, bodies := range map[ingest.Format][]string{
		ingest.JSON:   {"", " ", "{", "[{}", "{} {}", "[{},]", "\xff", `{"a": "` + "\xff" + `"}`, "nul", "[" + strings.Repeat("[", 20_000)},
		ingest.NDJSON: {"{}\n{", "{}{}", "x", "\xff"},
	} {
		for _, body := range bodies {
			_, err := ingest.Audit([]byte(body), format, now, noKinds)
			require.ErrorIs(t, err, ingest.ErrMalformed, "%.40q", body)
			require.Less(t, len(err.Error()), 200)
		}
	}
	_, err := ingest.Audit([]byte("{}\n{\n"), ingest.NDJSON, now, noKinds)
	require.ErrorContains(t, err, "line 2: ")
	_, err = readAudit(`[{}, {"a" 1}]`)
	require.ErrorContains(t, err, "at byte 11")
	_, err = readAudit("[" + strings.Repeat("1,", ingest.MaxEvents) + "1]")
	require.ErrorIs(t, err, ingest.ErrTooMany)
	_, err = ingest.Audit([]byte(strings.Repeat("1\n", ingest.MaxEvents+1)), ingest.NDJSON, now, noKinds)
	require.ErrorIs(t, err, ingest.ErrTooMany)
}

func TestRegisteredKinds(t *testing.T) {
	body := []byte(`[{"resource_type": "invoice", "action": "create", "status_code": 201}, {` + minimal + `},
		{"resource_type": "nonsense", "action": "create", "status_code": 201}]`)
	_, err := ingest.Audit(body, ingest.JSON, now, func(names []string) ([]string, error) {
		require.Equal(t, []string{"invoice", "nonsense"}, names)
		return []string{"invoice"}, nil
	})
	require.Equal(t, ingest.Problems{{Field: "[2].resource_type", Detail: `has invalid value: "nonsense" is not a valid value`}}, err)
	broken := errors.New("broken")
	_, err = ingest.Audit(body, ingest.JSON, now, func([]string) ([]string, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
}

const session = `"organization_id": "00000000-0000-0000-0000-00000000000a", "workspace_owner_id": "00000000-0000-0000-0000-00000000000b",
	"workspace_id": "00000000-0000-0000-0000-00000000000c", "workspace_name": "dev", "agent_name": "main"`

func TestConnections(t *testing.T) {
	events, err := ingest.Connections([]byte(`[
		{`+session+`, "action": "connect", "type": "ssh", "connection_id": "00000000-0000-0000-0000-00000000000d", "ip": "10.0.0.1"},
		{`+session+`, "action": "disconnect", "type": "ssh", "connection_id": "00000000-0000-0000-0000-00000000000d", "exit_code": 0, "disconnect_reason": "bye"},
		{`+session+`, "action": "connect", "type": "port_forwarding", "user_agent": "curl", "slug_or_port": "8080", "status_code": 200}]`), ingest.JSON, now)
	require.NoError(t, err)
	require.Equal(t, events[0].Session(), events[1].Session())
	require.Nil(t, events[0].Code)
	require.True(t, events[1].Disconnect)
	require.Equal(t, int32(0), *events[1].Code)
	require.Equal(t, int32(200), *events[2].Code)

	const d = `, "connection_id": "00000000-0000-0000-0000-00000000000d"`
	for _, c := range []struct{ fields, field, detail string }{
		{`"action": "connect", "type": "ssh"`, "connection_id", "is required of a session"},
		{`"action": "connect", "type": "ssh", "connection_id": "00000000-0000-0000-0000-000000000000"`, "connection_id", "must not be the zero uuid"},
		{`"action": "connect", "type": "ssh", "exit_code": 0` + d, "exit_code", "is of the event disconnect"},
		{`"action": "connect", "type": "ssh", "status_code": 200` + d, "status_code", "is of web connections"},
		{`"action": "connect", "type": "workspace_app"` + d, "connection_id", "is of sessions"},
		{`"action": "disconnect", "type": "workspace_app"`, "action", "must be connect: a web connection (workspace_app) has no end"},
		{`"action": "connect", "type": "shh"` + d, "type", `did you mean "ssh"?`},
		{`"action": "open", "type": "ssh"` + d, "action", "is not a valid value"},
		{`"action": "disconnect", "type": "ssh", "exit_code": 2147483648` + d, "exit_code", "must be an integer from -2147483648 to 2147483647"},
	} {
		_, err := ingest.Connections(fmt.Appendf(nil, "{%s, %s}", session, c.fields), ingest.JSON, now)
		var problems ingest.Problems
		require.ErrorAs(t, err, &problems, c.fields)
		require.Len(t, problems, 1, c.fields)
		require.Equal(t, c.field, problems[0].Field, c.fields)
		require.Contains(t, problems[0].Detail, c.detail)
	}
}

// Whatever is accepted is whole, and nothing panics.
func FuzzRead(f *testing.F) {
	for _, body := range []string{
		"", "[]", "{" + minimal + "}", `[{` + minimal + `, "diff": {"a": {"old": "\ud83d\ude00", "new": -1.5e3, "secret": true}}}]`,
		"{" + session + `, "action": "connect", "type": "workspace_app", "status_code": 200}`, `{"a\"b" : [ { } , "}" ] }`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, format := range []ingest.Format{ingest.JSON, ingest.NDJSON} {
			events, err := ingest.Audit(body, format, now, noKinds)
			if (err == nil) == (len(events) == 0) {
				t.Fatal(events, err)
			}
			for _, e := range events {
				if _, err := audit.ParseDiff(e.Diff); err != nil {
					t.Fatal(err)
				}
			}
			if connections, err := ingest.Connections(body, format, now); (err == nil) == (len(connections) == 0) {
				t.Fatal(connections, err)
			}
		}
	})
}
