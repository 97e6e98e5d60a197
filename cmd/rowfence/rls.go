package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/spf13/cobra"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/rls"
)

// actions are those that the commands of SQL are, unless --for says others.
var actions = map[rls.Command]string{rls.Select: "read", rls.Insert: "create", rls.Update: "update", rls.Delete: "delete"}

// rlsRequest is what rls is asked for.
type rlsRequest struct {
	request
	options rls.Options
	forWhat []string
	action  string
	format  string
	undo    bool
}

func rlsCommand() *cobra.Command {
	var r rlsRequest
	cmd := &cobra.Command{
		Use:   "rls --policy P --schema S --resource R [--role ROLE] [--for select,insert,…]",
		Short: "Write a policy as PostgreSQL's row-level security",
		Long: `rls prints the statements that put a policy into the database: a CREATE POLICY for
each command, with the condition that compile makes, for all subjects. The schema's
parameters are read from settings that a transaction has, which package rls sets; a row
is seen by nobody whose transaction lacks one of them.

The action is known for each command: read for SELECT, create for INSERT, update for
UPDATE and delete for DELETE, or what --for says. What else the policy reads of the input
is a parameter, or known by --input.

Run the statements in one transaction. --undo prints those that undo them, --format goose
both, as a migration.`,
		Example: `  rowfence rls -p policies/authz.rego -s policies/schema.yaml -r audit_log --role auditor --force
  rowfence rls -p policy.rego -s schema.yaml -r document --role app --for select,update=edit
  rowfence rls -p policy.rego -s schema.yaml -r document --role app | psql -1 -v ON_ERROR_STOP=1
  rowfence rls -p policy.rego -s schema.yaml -r document --role app --format goose > 00007_documents.sql`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var text string
			err := r.within(cmd.Context(), func(ctx context.Context) (err error) {
				text, err = r.text(ctx, cmd.InOrStdin())
				return err
			})
			if err != nil {
				return refused(err, false)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	f := cmd.Flags()
	r.sources(cmd)
	f.StringVarP(&r.input, "input", "i", "{}", "what else is known of every request: a file, or JSON; - reads standard input")
	f.StringVar(&r.action, "action", rowfence.DefaultAction, "where the action stands in the input")
	f.StringSliceVar(&r.forWhat, "for", []string{"select"}, "commands, each with =ACTION where the policy calls it otherwise")
	f.StringVar(&r.options.Role, "role", "", "role that obeys the policies, and is granted what they are for (default: all roles, and no grants)")
	f.BoolVar(&r.options.CreateRole, "create-role", false, "create the role, too")
	f.BoolVar(&r.options.Force, "force", false, "let the table's owner obey them, too")
	f.StringVar(&r.options.Name, "name", "rowfence", "what the names of the policies begin with")
	f.StringVarP(&r.format, "format", "f", "sql", "sql, or goose: a migration that also undoes it")
	f.BoolVar(&r.undo, "undo", false, "print the statements that undo it")
	requireFlags(cmd, "policy", "schema", "resource")
	return cmd
}

// text are the statements.
func (r *rlsRequest) text(ctx context.Context, stdin io.Reader) (string, error) {
	if r.format != "sql" && r.format != "goose" || r.format == "goose" && r.undo {
		return "", usageError(fmt.Sprintf("--format %s: want sql, or goose without --undo", r.format))
	}
	by, err := r.commands()
	if err != nil {
		return "", err
	}
	p, err := r.policies(ctx, stdin, by)
	switch {
	case err != nil:
		return "", err
	case r.undo:
		return p.Drop(), nil
	case r.format == "goose":
		return p.Goose(), nil
	default:
		return p.Create(), nil
	}
}

// commands are those of --for, with the action that each is.
func (r *rlsRequest) commands() (map[rls.Command]string, error) {
	by := map[rls.Command]string{}
	for _, one := range r.forWhat {
		name, action, given := strings.Cut(one, "=")
		command := rls.Command(strings.ToUpper(name))
		usual, ok := actions[command]
		if _, twice := by[command]; !ok || twice || given && action == "" {
			return nil, usageError(fmt.Sprintf("--for %s: want select, insert, update and delete, each once, as in --for select,update=edit", one))
		}
		by[command] = usual
		if given {
			by[command] = action
		}
	}
	return by, nil
}

func (r *rlsRequest) policies(ctx context.Context, stdin io.Reader, by map[rls.Command]string) (*rls.Policies, error) {
	schema, err := os.ReadFile(r.schema)
	if err != nil {
		return nil, fmt.Errorf("reading schema: %w", err)
	}
	text, err := r.readInput(stdin)
	if err != nil {
		return nil, fmt.Errorf("reading input: %w", err)
	}
	engine, err := rowfence.New(ctx, rowfence.Config{
		Sources: []rego.Source{rego.Paths(r.request.policies...)}, Schema: schema, Query: r.query, Action: r.action,
	})
	if err != nil {
		return nil, err
	}
	plan, err := engine.Plan(r.resource)
	if err != nil {
		return nil, err
	}
	conditions := map[rls.Command]*rls.Condition{}
	for command, action := range by {
		input, err := compiler.DecodeInput(text)
		if err != nil {
			return nil, err
		}
		if err := putAction(input, r.action, action); err != nil {
			return nil, err
		}
		if conditions[command], err = conditionOf(ctx, plan, input, rls.Target{Resource: r.resource, Action: action}); err != nil {
			return nil, err
		}
	}
	p, err := rls.NewPolicies(plan.Resource(), conditions, r.options)
	if err != nil {
		return nil, usageError(err.Error())
	}
	return p, nil
}

func conditionOf(ctx context.Context, plan *compiler.Plan, input map[string]any, target rls.Target) (*rls.Condition, error) {
	unsaid, err := plan.Unsaid(input)
	if err != nil {
		return nil, err
	}
	if len(unsaid) > 0 {
		return nil, &compiler.Error{
			Code: compiler.CodeInput, Reason: fmt.Sprintf("the policy reads %v, which is no parameter, and of which the input says nothing: it would be undefined for every subject", unsaid[0]),
			Hint: "make it, or a rule that reads it, a parameter of the schema; or say it with --input where it is the same for all",
		}
	}
	t, err := plan.Template(ctx, input)
	if err != nil {
		return nil, err
	}
	return rls.NewCondition(t, target)
}

// putAction puts the action at its place in the input.
func putAction(input map[string]any, path, action string) error {
	ref, err := ast.ParseRef(path)
	if err != nil || len(ref) < 2 {
		return usageError(fmt.Sprintf("--action %s: want a path such as %s", path, rowfence.DefaultAction))
	}
	for _, key := range ref[1 : len(ref)-1] {
		name := string(key.Value.(ast.String))
		inner, ok := input[name].(map[string]any)
		if _, there := input[name]; there && !ok {
			return usageError(fmt.Sprintf("--action %s: the input has no object at %s", path, name))
		}
		if !ok {
			inner = map[string]any{}
			input[name] = inner
		}
		input = inner
	}
	input[string(ref[len(ref)-1].Value.(ast.String))] = action
	return nil
}
