package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/catalog"
	"github.com/rowfence/rowfence/internal/lint"
	"github.com/rowfence/rowfence/rego"
)

// inspection is what check is asked for.
type inspection struct {
	policies    []string
	schema      string
	query       string
	resources   []string
	databaseURL string
	format      string
	failOn      string
	verbose     bool
	bounds
}

func checkCommand() *cobra.Command {
	var in inspection
	cmd := &cobra.Command{
		Use:   "check --policy P --schema S [--database-url URL]",
		Short: "Look for mistakes in a policy and its schema, against a database",
		Long: `check looks for mistakes that no compilation shows: comparisons that are the same for
every row, such as with a misspelt label, and fields that the policy reads and the schema
lacks. With a database it also compares the schema with the tables there: columns and
their types, NOT NULL, enumerated types. It reads the catalogue in one read-only
transaction, and no rows. What has no exact translation is found by compile, not here.

Exit codes: 0 nothing found, 1 errors or warnings found, 2 nothing could be checked.`,
		Example: `  rowfence check -p policies/authz.rego -s policies/schema.yaml
  rowfence check -p policies/authz.rego -s policies/schema.yaml --database-url postgres://app@db/app
  rowfence check -p policy.rego -s schema.yaml -r document --fail-on error --format json`,
	}
	toVerdict(cmd, func(cmd *cobra.Command) (bool, error) {
		in.databaseURL = databaseURL(cmd, in.databaseURL)
		var report *checked
		err := in.within(cmd.Context(), func(ctx context.Context) (err error) {
			report, err = in.run(ctx)
			return err
		})
		if err != nil {
			return false, err
		}
		if err := report.print(cmd.OutOrStdout(), in.format); err != nil {
			return false, err
		}
		return report.Errors == 0 && (report.Warnings == 0 || in.failOn != "warning"), nil
	})
	f := cmd.Flags()
	f.StringArrayVarP(&in.policies, "policy", "p", nil, "Rego file, data document, bundle (.tar.gz) or directory; may be repeated")
	f.StringVarP(&in.schema, "schema", "s", "", "schema file: how rows look to the policy")
	f.StringVarP(&in.query, "query", "q", rowfence.DefaultQuery, "rule that allows: only what it depends on is looked at")
	f.StringArrayVarP(&in.resources, "resource", "r", nil, "compare only this resource with the database; may be repeated")
	f.StringVar(&in.databaseURL, "database-url", "", "PostgreSQL to compare with, by default that of the variable ROWFENCE_DATABASE_URL; none when empty")
	in.bounds.flags(f, 30*time.Second)
	f.StringVarP(&in.format, "format", "f", "text", "text or json")
	f.StringVar(&in.failOn, "fail-on", "warning", "the least that makes the exit code 1: warning or error")
	f.BoolVarP(&in.verbose, "verbose", "v", false, "also say what is only good to know, such as fields that no rule reads")
	for _, name := range []string{"policy", "schema"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the name is one of the flags above
		}
	}
	return cmd
}

func (in *inspection) run(ctx context.Context) (*checked, error) {
	if in.format != "text" && in.format != "json" {
		return nil, usageError(fmt.Sprintf("--format %s: want text or json", in.format))
	}
	if in.failOn != "warning" && in.failOn != "error" {
		return nil, usageError(fmt.Sprintf("--fail-on %s: want warning or error", in.failOn))
	}
	schema, query, err := in.load(ctx)
	if err != nil {
		return nil, refused(err, in.format == "json")
	}
	all := make([]*compiler.Resource, 0, len(schema.Resources))
	for _, name := range slices.Sorted(maps.Keys(schema.Resources)) {
		all = append(all, schema.Resources[name])
	}
	chosen, err := in.choose(schema, all)
	if err != nil {
		return nil, refused(err, in.format == "json")
	}
	for _, r := range chosen {
		if _, err := compiler.NewPlan(query, r); err != nil {
			return nil, refused(err, in.format == "json")
		}
	}
	out := &checked{resources: len(chosen)}
	labels := map[string][]string{}
	if in.databaseURL != "" {
		out.Database = true
		// The labels of all: a policy compares with those of any.
		have, err := catalog.Read(ctx, in.databaseURL, in.timeout, lint.Names(all))
		if err != nil {
			return nil, err
		}
		out.Findings = lint.Schema(chosen, have)
		for _, name := range lint.Names(all).Types {
			if t, ok := have.Type(name); ok && t.IsEnum() {
				labels[name] = t.Labels
			}
		}
	}
	out.Findings = append(out.Findings, about(chosen, lint.Policy(query, all, labels))...)
	out.count(in.verbose)
	return out, nil
}

func (in *inspection) load(ctx context.Context) (*compiler.Schema, *rego.Query, error) {
	schema, policy, err := load(ctx, in.schema, in.policies)
	if err != nil {
		return nil, nil, err
	}
	query, err := policy.Prepare(ctx, in.query)
	return schema, query, err
}

// choose are the resources that are asked for, or all.
func (in *inspection) choose(schema *compiler.Schema, all []*compiler.Resource) ([]*compiler.Resource, error) {
	if len(in.resources) == 0 {
		return all, nil
	}
	var out []*compiler.Resource
	for _, name := range in.resources {
		r, err := schema.Resource(name)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// about leaves out the findings of a policy on resources that were not chosen.
func about(chosen []*compiler.Resource, found []lint.Finding) []lint.Finding {
	return slices.DeleteFunc(found, func(f lint.Finding) bool {
		return f.Resource != "" && !slices.ContainsFunc(chosen, func(r *compiler.Resource) bool { return r.Name == f.Resource })
	})
}

// checked is what check prints as JSON.
type checked struct {
	Database bool           `json:"database"` // one was compared with
	Errors   int            `json:"errors"`
	Warnings int            `json:"warnings"`
	Findings []lint.Finding `json:"findings"`

	resources int
}

// count sorts and counts the findings, and drops the infos unless they are asked for.
func (c *checked) count(verbose bool) {
	if !verbose {
		c.Findings = slices.DeleteFunc(c.Findings, func(f lint.Finding) bool { return f.Severity == lint.Info })
	}
	if c.Findings == nil {
		c.Findings = []lint.Finding{}
	}
	lint.Sort(c.Findings)
	for _, f := range c.Findings {
		switch f.Severity {
		case lint.Error:
			c.Errors++
		case lint.Warning:
			c.Warnings++
		}
	}
}

func (c *checked) print(w io.Writer, format string) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(c)
	}
	var b strings.Builder
	for _, f := range c.Findings {
		fmt.Fprintf(&b, "%s\n", describeFinding(f))
	}
	fmt.Fprintf(&b, "%s, %s in %s", count(c.Errors, "error"), count(c.Warnings, "warning"), count(c.resources, "resource"))
	if !c.Database {
		b.WriteString("; no database: tables, columns and types were not checked")
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// describeFinding is a finding for a reader.
func describeFinding(f lint.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", f.Severity)
	switch {
	case f.Position != nil:
		fmt.Fprintf(&b, "%v: ", *f.Position)
	case f.Resource != "" && f.Field != "":
		fmt.Fprintf(&b, "%s.%s: ", f.Resource, f.Field)
	case f.Resource != "":
		fmt.Fprintf(&b, "%s: ", f.Resource)
	}
	b.WriteString(f.Reason)
	if f.Hint != "" {
		fmt.Fprintf(&b, "\n  hint: %s", f.Hint)
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
