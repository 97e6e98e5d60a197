package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/limit"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// request is what compile and explain are asked for.
type request struct {
	policies []string
	schema   string
	resource string
	query    string
	input    string
	argStart int
	bounds
}

// bounds are how long a command may take, and how much memory.
type bounds struct {
	timeout time.Duration
	memory  uint64 // MiB
}

func (b *bounds) flags(f *pflag.FlagSet, timeout time.Duration) {
	f.DurationVar(&b.timeout, "timeout", timeout, "how long it may take")
	f.Uint64Var(&b.memory, "memory", 1024, "how much memory it may take, in MiB of heap")
}

var errSlow = errors.New("it takes longer")

// within does the work of a command within its bounds. They hold for any policy, schema
// and input: what OPA does not interrupt is left behind when the command ends.
func (b *bounds) within(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	err := limit.Run(ctx, b.memory<<20, work)
	switch {
	case errors.Is(err, limit.ErrMemory):
		return fmt.Errorf("%w (--memory gives it more)", err)
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return fmt.Errorf("%w than %v (--timeout gives it more)", errSlow, b.timeout)
	default:
		return err
	}
}

// sources are the flags for what is compiled.
func (r *request) sources(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&r.policies, "policy", "p", nil, "Rego file, data document, bundle (.tar.gz) or directory; may be repeated")
	f.StringVarP(&r.schema, "schema", "s", "", "schema file: how rows look to the policy")
	f.StringVarP(&r.resource, "resource", "r", "", "resource of the schema to filter")
	f.StringVarP(&r.query, "query", "q", rowfence.DefaultQuery, "rule that allows")
	r.bounds.flags(f, 30*time.Second)
}

func (r *request) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	r.sources(cmd)
	f.StringVarP(&r.input, "input", "i", "", "input document, JSON: what is known of the request; - reads standard input")
	f.IntVar(&r.argStart, "arg-start", 1, "number of the first placeholder")
	requireFlags(cmd, "policy", "schema", "resource", "input")
}

func requireFlags(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the name is one of the flags above
		}
	}
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateRequiredFlags(); err != nil {
			return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
		}
		return nil
	}
}

// maxInput bounds an input document, in bytes.
const maxInput = 64 << 20

func (r *request) run(cmd *cobra.Command, trace func(sqlgen.Step)) (*compiler.Compilation, error) {
	if r.argStart < 1 || r.argStart > 65535 {
		return nil, usageError(fmt.Sprintf("--arg-start %d: want a number from 1 to 65535", r.argStart))
	}
	var c *compiler.Compilation
	err := r.within(cmd.Context(), func(ctx context.Context) (err error) {
		c, err = r.compile(ctx, cmd.InOrStdin(), trace)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (r *request) compile(ctx context.Context, stdin io.Reader, trace func(sqlgen.Step)) (*compiler.Compilation, error) {
	schema, err := os.ReadFile(r.schema)
	if err != nil {
		return nil, fmt.Errorf("reading schema: %w", err)
	}
	text, err := r.readInput(stdin)
	if err != nil {
		return nil, fmt.Errorf("reading input: %w", err)
	}
	input, err := compiler.DecodeInput(text)
	if err != nil {
		return nil, err
	}
	engine, err := rowfence.New(ctx, rowfence.Config{
		Sources: []rego.Source{rego.Paths(r.policies...)},
		Schema:  schema,
		Query:   r.query,
	})
	if err != nil {
		return nil, err
	}
	return engine.Explain(ctx, r.resource, input, trace)
}

func (r *request) readInput(stdin io.Reader) ([]byte, error) {
	if r.input == "-" {
		return io.ReadAll(io.LimitReader(stdin, maxInput))
	}
	if text := strings.TrimSpace(r.input); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		return []byte(r.input), nil
	}
	return os.ReadFile(r.input)
}

// usageError is a command line that makes no sense.
type usageError string

func (e usageError) Error() string { return string(e) }

// refusedError is a policy, schema or input that is refused.
type refusedError struct {
	errs   compiler.Errors
	asJSON bool
}

func (e *refusedError) Error() string { return e.errs.Error() }

func (e *refusedError) print(w io.Writer) {
	if !e.asJSON {
		for _, one := range e.errs {
			fmt.Fprintln(w, describe(one))
		}
		if codes := e.codes(); len(codes) > 0 {
			fmt.Fprintf(w, "  more: rowfence explain-error %s\n", strings.Join(codes, " "))
		}
		return
	}
	first := struct {
		*compiler.Error
		Message string          `json:"message"`
		Errors  compiler.Errors `json:"errors"`
	}{e.errs[0], e.errs.Error(), e.errs}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(first); err != nil {
		fmt.Fprintln(w, e.errs.Error())
	}
}

// codes are those of the errors, each once.
func (e *refusedError) codes() []string {
	var out []string
	for _, one := range e.errs {
		if !slices.Contains(out, string(one.Code)) {
			out = append(out, string(one.Code))
		}
	}
	return out
}

// describe is an error for a reader: the place, the expression, and a way out.
func describe(e *compiler.Error) string {
	var b strings.Builder
	b.WriteString("refused: ")
	if e.Position != nil {
		fmt.Fprintf(&b, "%v: ", *e.Position)
	}
	fmt.Fprintf(&b, "%s: %s", e.Code, e.Reason)
	for line := range strings.Lines(e.Expression) {
		fmt.Fprintf(&b, "\n    %s", strings.TrimRight(line, "\n"))
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "\n  hint: %s", e.Hint)
	}
	return b.String()
}

// refused tells what is refused from what went wrong around it: wrong usage, and
// files that can't be read.
func refused(err error, asJSON bool) error {
	var usage usageError
	var file *fs.PathError
	if errors.As(err, &usage) || errors.As(err, &file) || errors.Is(err, limit.ErrMemory) || errors.Is(err, errSlow) {
		return err
	}
	if errs := rowfence.Errors(err); len(errs) > 0 {
		return &refusedError{errs, asJSON}
	}
	return err
}

// compiled is what compile prints as JSON.
type compiled struct {
	Result string          `json:"result"`
	SQL    string          `json:"sql"`
	Args   json.RawMessage `json:"args"`
	Inline string          `json:"inline"`
}

func compileCommand() *cobra.Command {
	var r request
	var format string
	cmd := &cobra.Command{
		Use:   "compile --policy P --schema S --resource R --input I",
		Short: "Compile a policy into a SQL condition",
		Long: `compile prints the condition that is true of exactly the rows of a resource that
the policy allows for an input. It is a boolean expression that can stand after WHERE:
TRUE when every row is allowed, FALSE when none is.`,
		Example: `  rowfence compile -p policies/authz.rego -s policies/schema.yaml -r audit_log -i input.json
  rowfence compile -p policy.rego -s schema.yaml -r document -i '{"user": "me"}' --format json
  psql -c "SELECT * FROM documents WHERE $(rowfence compile … --format sql)"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" && format != "sql" {
				return fmt.Errorf("--format %s: want text, json or sql", format)
			}
			c, err := r.run(cmd, nil)
			if err != nil {
				return refused(err, format == "json")
			}
			out, err := render(c.Filter, format, r.argStart)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVarP(&format, "format", "f", "text", "text, json, or sql (the condition with its values written out)")
	return cmd
}

func render(f sqlgen.Filter, format string, start int) ([]byte, error) {
	sql, args := f.SQL(start)
	argsJSON, err := sqlgen.ArgJSON(args)
	if err != nil {
		return nil, fmt.Errorf("printing the arguments: %w", err)
	}
	var b bytes.Buffer
	switch format {
	case "json":
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		err = enc.Encode(compiled{f.Result().String(), sql, argsJSON, f.Inline()})
	case "sql":
		fmt.Fprintln(&b, f.Inline())
	default:
		fmt.Fprintf(&b, "result: %v\nsql:    %s\n", f.Result(), sql)
		if len(args) > 0 {
			fmt.Fprintf(&b, "args:   %s\n", argsJSON)
		}
	}
	return b.Bytes(), err
}
