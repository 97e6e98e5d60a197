package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

func explainCommand() *cobra.Command {
	var r request
	cmd := &cobra.Command{
		Use:   "explain --policy P --schema S --resource R --input I",
		Short: "Show every stage from a policy to its SQL",
		Long: `explain prints what compile goes through: the residual that partial evaluation
leaves of the policy, the predicate that it is translated into, each simplification
that fired, the predicate as it is rendered, and the SQL with its arguments.`,
		Example: `  rowfence explain -p policies/authz.rego -s policies/schema.yaml -r audit_log -i input.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var steps []sqlgen.Step
			c, err := r.run(cmd, func(s sqlgen.Step) { steps = append(steps, s) })
			if err != nil {
				return refused(err, false)
			}
			return explain(cmd.OutOrStdout(), c, steps, r.argStart)
		},
	}
	r.flags(cmd)
	return cmd
}

func explain(w io.Writer, c *compiler.Compilation, steps []sqlgen.Step, start int) error {
	var b strings.Builder
	section := func(title, text string) {
		fmt.Fprintf(&b, "%s\n", title)
		for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
			fmt.Fprintf(&b, "  %s", line)
		}
		b.WriteByte('\n')
	}
	residual := c.Residual.String()
	if residual == "" {
		residual = "(nothing: no row can be allowed)"
	}
	section("residual", residual)
	if c.Template != nil {
		section("template", sqlgen.Indent(c.Template))
	}
	section("predicate", sqlgen.Indent(c.Predicate))
	if len(steps) > 0 {
		var list strings.Builder
		for _, s := range steps {
			fmt.Fprintf(&list, "%s\n    %v\n  → %v\n", s.Rule, s.Before, s.After)
		}
		section("simplifications", list.String())
		section("simplified", sqlgen.Indent(c.Filter.Predicate()))
	}
	out, err := render(c.Filter, "text", start)
	if err != nil {
		return err
	}
	section("filter", string(out)+"inline: "+c.Filter.Inline())
	_, err = io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}
