package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

const (
	defaultMaxExports    = 4 // each holds a connection to the database
	exportsOfCaller      = 2
	exportRetryAfter     = 10 // seconds
	defaultCloseGrace    = 10 * time.Second
	defaultExportTimeout = 6 * time.Hour

	completeTrailer = "Export-Complete"
	rowsTrailer     = "Export-Rows"
)

// exported is a log as a route exports it: as it is searched, without pages.
type exported[Row, Shape any] struct {
	searched[Row]
	name    string // of the file
	all     func(context.Context, sqlgen.Filter, sqlgen.Predicate, func([]Row) error) error
	shape   func(Row) Shape
	columns []column[Shape]
}

func (s *server) exportedAuditLogs() exported[audit.Log, auditLog] {
	return exported[audit.Log, auditLog]{s.auditLogs(), "audit", s.store.ExportAuditLogs, newAuditLog, auditColumns}
}

func (s *server) exportedConnectionLogs() exported[audit.Connection, connectionLog] {
	return exported[audit.Connection, connectionLog]{s.connectionLogs(), "connectionlog", s.store.ExportConnections, newConnectionLog, connectionColumns}
}

// exportFormat is how rows are written.
type exportFormat string

const (
	exportCSV    exportFormat = "csv"
	exportNDJSON exportFormat = "ndjson"
)

func (f exportFormat) contentType() string {
	if f == exportCSV {
		return "text/csv; charset=utf-8; header=present"
	}
	return "application/x-ndjson; charset=utf-8"
}

// parseExport reads the parameters of an export.
func parseExport(rawQuery, invalid string, parse func(q string) (auditquery.Search, error)) (auditquery.Search, exportFormat, error) {
	params, err := readParams(rawQuery)
	if err != nil {
		return auditquery.Search{}, "", err
	}
	search, err := params.search(invalid, parse)
	if err != nil {
		return auditquery.Search{}, "", err
	}
	format := exportFormat(params.once("format"))
	if format != exportCSV && format != exportNDJSON {
		params.refuse("format", "Query param %q has invalid value: %s is not csv or ndjson", "format", strconv.Quote(clip(string(format))))
	}
	return search, format, params.check("q", "format")
}

var errClosing = errors.New("the server shuts down")

// streaming is the context of an answer that goes on beyond the request's deadline,
// until so long after the server begins to shut down.
func (s *server) streaming(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(whole(ctx))
	stop := context.AfterFunc(s.closing, func() {
		timer := time.AfterFunc(grace, func() { cancel(errClosing) })
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// export answers with all rows that are found.
func export[Row, Shape any](s *server, in exported[Row, Shape]) func(w http.ResponseWriter, r *http.Request, subject audit.Subject) error {
	return func(w http.ResponseWriter, r *http.Request, subject audit.Subject) error {
		search, format, err := parseExport(r.URL.RawQuery, in.invalid, in.parse(r.Context()))
		if err != nil {
			return err
		}
		leave, ok := s.exports.enter(subject.ID)
		if !ok {
			w.Header().Set("Retry-After", strconv.Itoa(exportRetryAfter))
			return &apiError{Status: http.StatusTooManyRequests, Message: "Too many exports are running. Try again later."}
		}
		defer leave()
		now := searchTime()
		authorized, found, err := s.condition(r.Context(), subject, in.resource, search, now)
		if err != nil {
			return err
		}
		header := func(h http.Header) {
			h.Set("Content-Type", format.contentType())
			h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=\"%s-%s.%s\"", in.name, now.Format("20060102T150405Z"), format))
			h.Set("Vary", "Accept-Encoding")
			h.Set("Trailer", completeTrailer+", "+rowsTrailer)
		}
		if r.Method == http.MethodHead {
			header(w.Header())
			w.Header().Del("Trailer")
			w.WriteHeader(http.StatusOK)
			return nil
		}
		ctx, cancel := s.streaming(r.Context(), s.closeGrace)
		defer cancel()
		ctx, stop := context.WithTimeout(ctx, s.exportTimeout)
		defer stop()
		file := newExportFile(in, format, newStream(ctx, w, s.writeTimeout, acceptsGzip(r.Header), header))
		defer file.stream.cutting()()
		if authorized.Result() != sqlgen.ResultNever {
			err = in.all(ctx, authorized, found, file.add)
		}
		if err == nil {
			err = file.end()
		}
		if err == nil {
			w.Header().Set(completeTrailer, "true")
			w.Header().Set(rowsTrailer, strconv.Itoa(file.rows))
			return nil
		}
		if !file.stream.started {
			return s.unbegun(ctx, err)
		}
		s.log.WarnContext(ctx, "export cut off", "request_id", requestID(ctx), "rows", file.rows, "error", err)
		file.abort()
		// Without the end of the body, the client knows that it has not got all.
		panic(http.ErrAbortHandler)
	}
}

// unbegun is the error of an export that has not begun to answer.
func (s *server) unbegun(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errClosing):
		return &apiError{Status: http.StatusServiceUnavailable, Message: "The server shuts down."}
	case errors.Is(err, context.DeadlineExceeded):
		s.log.WarnContext(ctx, "export timed out", "request_id", requestID(ctx), "error", err)
		return &apiError{Status: http.StatusServiceUnavailable, Message: "The export took too long to begin. Narrow the search, for example with date_from."}
	}
	return err
}

// exportFile is an export as it is written.
type exportFile[Row, Shape any] struct {
	in      exported[Row, Shape]
	format  exportFormat
	stream  *stream
	encoder *json.Encoder
	line    []byte
	headed  bool // the names of the columns are written
	rows    int
}

func newExportFile[Row, Shape any](in exported[Row, Shape], format exportFormat, into *stream) *exportFile[Row, Shape] {
	f := &exportFile[Row, Shape]{in: in, format: format, stream: into, encoder: json.NewEncoder(into)}
	f.encoder.SetEscapeHTML(false)
	return f
}

// head writes the names of the columns.
func (f *exportFile[Row, Shape]) head() error {
	if f.headed || f.format != exportCSV {
		return nil
	}
	f.headed = true
	return f.record(func(i int) string { return f.in.columns[i].name })
}

func (f *exportFile[Row, Shape]) record(cell func(int) string) error {
	f.line = appendRecord(f.line[:0], len(f.in.columns), cell)
	_, err := f.stream.Write(f.line)
	return err
}

// add writes rows.
func (f *exportFile[Row, Shape]) add(rows []Row) error {
	if err := f.head(); err != nil {
		return err
	}
	for _, row := range rows {
		shape := f.in.shape(row)
		var err error
		if f.format == exportCSV {
			err = f.record(func(i int) string { return f.in.columns[i].cell(shape) })
		} else {
			err = f.encoder.Encode(shape)
		}
		if err != nil {
			return err
		}
		f.rows++
	}
	return nil
}

// lastLine is that of an export as NDJSON. No row has the key.
type lastLine struct {
	Export exportEnd `json:"export"`
}

type exportEnd struct {
	Complete bool `json:"complete"`
	Rows     int  `json:"rows"`
}

// end says that all rows were written.
func (f *exportFile[Row, Shape]) end() error {
	if err := f.head(); err != nil {
		return err
	}
	if f.format == exportNDJSON {
		if err := f.encoder.Encode(lastLine{exportEnd{true, f.rows}}); err != nil {
			return err
		}
	}
	return f.stream.end()
}

// abort says that they were not, where there is a place for it and the client still
// reads.
func (f *exportFile[Row, Shape]) abort() {
	if f.format == exportNDJSON && f.encoder.Encode(lastLine{exportEnd{false, f.rows}}) == nil {
		_ = f.stream.flush() // the connection ends in any case
	}
}
