package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
)

// Exit codes of commands that come to a verdict.
const (
	exitFindings  = 1 // it is a bad one
	exitNoVerdict = 2 // there is none
)

// toVerdict makes the exit code of a command 1 where its verdict is a bad one, and 2
// where it did not come to any: wrong usage, and all that goes wrong.
func toVerdict(cmd *cobra.Command, run func(*cobra.Command) (good bool, err error)) {
	none := func(err error) error {
		if err == nil {
			return nil
		}
		return &exitError{exitNoVerdict, err}
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error { return none(cobra.NoArgs(cmd, args)) }
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateRequiredFlags(); err != nil {
			return none(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		good, err := run(cmd)
		if err == nil && !good {
			return &exitError{exitFindings, nil}
		}
		return none(err)
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return none(err) })
}

// load reads a schema and policies.
func load(ctx context.Context, schemaPath string, policies []string) (*compiler.Schema, *rego.Policy, error) {
	text, err := os.ReadFile(schemaPath)
	if err != nil {
		return nil, nil, fmt.Errorf("reading schema: %w", err)
	}
	schema, err := compiler.ParseSchema(text)
	if err != nil {
		return nil, nil, err
	}
	policy, err := rego.Load(ctx, rego.Paths(policies...))
	if err != nil {
		return nil, nil, fmt.Errorf("loading policies: %w", err)
	}
	return schema, policy, nil
}

// databaseURL is the flag's, or that of the environment. It is not the flag's default,
// which --help would print with its password.
func databaseURL(cmd *cobra.Command, flag string) string {
	if cmd.Flags().Changed("database-url") {
		return flag
	}
	return os.Getenv("ROWFENCE_DATABASE_URL")
}
