package auditclient

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
)

const (
	defaultRetryFor = 2 * time.Minute
	requestTimeout  = 30 * time.Second

	firstWait = 100 * time.Millisecond
	maxWait   = 10 * time.Second

	compressFrom   = 1 << 10
	maxAnswerBytes = 4 << 20
)

// Config says which server a client writes to. URL and Token are needed.
type Config struct {
	// URL is the server's, without the path of the API: https://audit.example.com.
	URL string
	// Token is that of a session which may write the logs.
	Token string
	// HTTPClient sends the requests; nil is one with a timeout of 30 seconds.
	HTTPClient *http.Client
	// RetryFor is how long [Client.Record] and [Client.RecordConnections] try to
	// reach a server that can't be reached or has too much to do; 0 is 2 minutes,
	// less than 0 is once.
	RetryFor time.Duration
}

// Client writes to the logs of one server. It is safe for concurrent use.
type Client struct {
	config      Config
	audit, conn string // URLs
}

// New is a client of the server. It does not connect yet.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("auditclient: %q is no http or https URL", config.URL)
	}
	if config.Token == "" {
		return nil, errors.New("auditclient: a token is needed")
	}
	if config.HTTPClient == nil {
		config.HTTPClient = &http.Client{Timeout: requestTimeout}
	}
	if config.RetryFor == 0 {
		config.RetryFor = defaultRetryFor
	}
	return &Client{
		config: config,
		audit:  base.JoinPath("/api/v2/audit/events").String(),
		conn:   base.JoinPath("/api/v2/connectionlog/events").String(),
	}, nil
}

// Record writes the events to the audit log: all of them, at most 10,000, or none.
// When there is no error they are on the server's disk, and the ids are those of the
// rows in the order of the events. An [*Error] is the server's refusal; after any
// other error they may have been written.
func (c *Client) Record(ctx context.Context, events ...Event) ([]uuid.UUID, error) {
	raw := make([]json.RawMessage, len(events))
	for i, e := range events {
		var err error
		if raw[i], err = encodeEvent(e); err != nil {
			return nil, err
		}
	}
	return c.write(ctx, c.audit, raw)
}

// RecordConnections writes the events to the connection log, as [Client.Record]
// does. The ids are those of the connections' rows: the events of one session have
// the same.
func (c *Client) RecordConnections(ctx context.Context, events ...Connection) ([]uuid.UUID, error) {
	raw := make([]json.RawMessage, len(events))
	for i, e := range events {
		var err error
		if raw[i], err = encodeConnection(e); err != nil {
			return nil, err
		}
	}
	return c.write(ctx, c.conn, raw)
}

func encodeEvent(e Event) (json.RawMessage, error) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("auditclient: encoding an event: %w", err)
	}
	return raw, nil
}

func encodeConnection(e Connection) (json.RawMessage, error) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("auditclient: encoding a connection: %w", err)
	}
	return raw, nil
}

func (c *Client) write(ctx context.Context, url string, events []json.RawMessage) ([]uuid.UUID, error) {
	if len(events) == 0 {
		return nil, nil
	}
	return c.send(ctx, url, events, c.config.RetryFor)
}

// send sends the events as one batch with a key of its own, again and again until
// the server takes or refuses it, at most as long as limit; 0 is without limit, less
// than 0 is once.
func (c *Client) send(ctx context.Context, url string, events []json.RawMessage, limit time.Duration) ([]uuid.UUID, error) {
	body, encoding, err := encode(events)
	if err != nil {
		return nil, err
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = firstWait, maxWait
	options := []backoff.RetryOption{backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(max(limit, 0))}
	if limit < 0 {
		options = append(options, backoff.WithMaxTries(1))
	}
	key := uuid.NewString()
	var last error
	ids, err := backoff.Retry(ctx, func() ([]uuid.UUID, error) {
		var ids []uuid.UUID
		ids, last = c.post(ctx, url, key, encoding, body)
		var refused *Error
		switch {
		case !errors.As(last, &refused):
			return ids, last
		case !refused.Temporary():
			return nil, backoff.Permanent(last)
		case refused.RetryAfter > 0:
			return nil, &backoff.RetryAfterError{Duration: refused.RetryAfter}
		}
		return nil, last
	}, options...)
	if err == nil {
		return ids, nil
	}
	if ctx.Err() != nil && !errors.Is(last, context.Cause(ctx)) {
		return nil, fmt.Errorf("%w: %w", last, context.Cause(ctx))
	}
	return nil, last
}

// encode is the body of a batch, which is the same whenever it is sent: the server
// tells by it whether a key is used for something else.
func encode(events []json.RawMessage) (body []byte, encoding string, err error) {
	var b bytes.Buffer
	for i, e := range events {
		b.WriteByte("[,"[min(i, 1)])
		b.Write(e)
	}
	b.WriteByte(']')
	if b.Len() < compressFrom {
		return b.Bytes(), "", nil
	}
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err = w.Write(b.Bytes())
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, "", fmt.Errorf("auditclient: compressing a batch: %w", err)
	}
	return compressed.Bytes(), "gzip", nil
}

func (c *Client) post(ctx context.Context, url, key, encoding string, body []byte) ([]uuid.UUID, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("auditclient: %w", err)
	}
	r.Header.Set("Coder-Session-Token", c.config.Token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	resp, err := c.config.HTTPClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("auditclient: sending events: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("auditclient: reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusCreated {
		return nil, refusal(resp, answer)
	}
	var created struct {
		IDs []uuid.UUID `json:"ids"`
	}
	if err := json.Unmarshal(answer, &created); err != nil {
		return nil, fmt.Errorf("auditclient: reading the answer: %w", err)
	}
	return created.IDs, nil
}

func refusal(resp *http.Response, answer []byte) error {
	e := &Error{Status: resp.StatusCode}
	var told struct {
		Message     string       `json:"message"`
		Validations []Validation `json:"validations"`
	}
	if json.Unmarshal(answer, &told) == nil { // a proxy's page is not
		e.Message, e.Validations = told.Message, told.Validations
	}
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
