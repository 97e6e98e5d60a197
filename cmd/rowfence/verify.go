package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/catalog"
	"github.com/rowfence/rowfence/internal/verify"
)

// verification is what verify is asked for.
type verification struct {
	policies, resources, inputs []string
	schema, query, database     string
	key, format                 string
	sample, generate            int
	seed                        uint64
	quiet                       bool
	bounds
}

func verifyCommand() *cobra.Command {
	var v verification
	cmd := &cobra.Command{
		Use:   "verify --policy P --schema S --inputs DIR --database-url URL",
		Short: "Hold the SQL against OPA on rows of a database",
		Long: `verify takes rows from your database, lets OPA decide on each with the row's document
in the place of the unknown, and compares with what the SQL selects, for each resource
and input. It reports the rows that leak (the SQL selects them, and OPA does not allow
them) and those that are lost, with a small example of each difference.

It reads in transactions that can't write. It looks at a sample of the rows, and at
rows that the filter selects. With --generate it also makes rows, from hostile values
and the policy's own constants, which no table ever holds.

Exit codes: 0 all is exact, 1 a difference, or an input for which the policy is refused
or its SQL does not run, 2 nothing could be verified.`,
		Example: `  rowfence verify -p policies -s policies/schema.yaml -i inputs --database-url postgres://reader@db/app
  rowfence verify -p policy.rego -s schema.yaml -r document -i alice.json --sample 100000
  rowfence verify -p policy.rego -s schema.yaml -i inputs --sample 0 --generate 10000 --format junit`,
	}
	toVerdict(cmd, func(cmd *cobra.Command) (good bool, err error) {
		v.database = databaseURL(cmd, v.database)
		err = v.within(cmd.Context(), func(ctx context.Context) (err error) {
			good, err = v.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
			return err
		})
		return good, err
	})
	f := cmd.Flags()
	f.StringArrayVarP(&v.policies, "policy", "p", nil, "Rego file, data document, bundle (.tar.gz) or directory; may be repeated")
	f.StringVarP(&v.schema, "schema", "s", "", "schema file: how rows look to the policy")
	f.StringArrayVarP(&v.resources, "resource", "r", nil, "resource of the schema; may be repeated (default all)")
	f.StringVarP(&v.query, "query", "q", rowfence.DefaultQuery, "rule that allows")
	f.StringArrayVarP(&v.inputs, "inputs", "i", nil, "input document, JSON, or a directory of them (*.json); may be repeated")
	f.StringVar(&v.database, "database-url", "", "PostgreSQL to read, by default that of the variable ROWFENCE_DATABASE_URL")
	f.IntVar(&v.sample, "sample", 10000, "how many rows to look at, for each resource; 0 for none")
	f.IntVar(&v.generate, "generate", 0, "how many rows to make, for each resource and input")
	f.Uint64Var(&v.seed, "seed", 0, "seed of the rows that are made (default random, and printed)")
	f.StringVar(&v.key, "key", "", "SQL expression that names a row, such as id (default its place, which views don't have)")
	f.StringVarP(&v.format, "format", "f", "text", "text, json or junit")
	v.bounds.flags(f, 10*time.Minute)
	f.BoolVar(&v.quiet, "quiet", false, "no progress on standard error")
	for _, name := range []string{"policy", "schema", "inputs"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the name is one of the flags above
		}
	}
	return cmd
}

func (v *verification) run(ctx context.Context, out, progress io.Writer) (good bool, err error) {
	print := map[string]func(*verify.Report, io.Writer) error{
		"text": (*verify.Report).Text, "json": (*verify.Report).JSON, "junit": (*verify.Report).JUnit,
	}[v.format]
	switch {
	case print == nil:
		return false, usageError(fmt.Sprintf("--format %s: want text, json or junit", v.format))
	case v.sample < 0 || v.generate < 0 || v.sample+v.generate == 0:
		return false, usageError("--sample and --generate: want one of them above 0, and none below")
	case v.database == "":
		return false, usageError("--database-url is needed, or the variable ROWFENCE_DATABASE_URL")
	}
	config, err := v.config(ctx)
	if err != nil {
		return false, refused(err, v.format == "json")
	}
	if !v.quiet {
		config.Progress = progress
	}
	conn, err := catalog.Connect(ctx, v.database, v.timeout)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if config.Generate > 0 && config.Progress != nil {
		fmt.Fprintf(config.Progress, "seed of the rows that are made: %d\n", config.Seed)
	}
	report, err := verify.Run(ctx, conn, config)
	if err != nil {
		return false, err
	}
	return report.Count(verify.Exact) == len(report.Checks), print(report, out)
}

func (v *verification) config(ctx context.Context) (config verify.Config, err error) {
	config = verify.Config{Query: v.query, Sample: v.sample, Generate: v.generate, Key: v.key, Seed: v.seed}
	if v.seed == 0 {
		config.Seed = rand.Uint64()
	}
	schema, policy, err := load(ctx, v.schema, v.policies)
	if err != nil {
		return config, err
	}
	config.Policy = policy
	names := v.resources
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(schema.Resources))
	}
	for _, name := range names {
		r, err := schema.Resource(name)
		if err != nil {
			return config, err
		}
		config.Resources = append(config.Resources, r)
	}
	config.Inputs, err = readInputs(v.inputs)
	return config, err
}

// readInputs reads input documents: files, and those in directories.
func readInputs(paths []string) ([]verify.Input, error) {
	var out []verify.Input
	for _, path := range paths {
		files := []string{path}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("reading inputs: %w", err)
		}
		if info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(path, "*.json")); err != nil {
				return nil, fmt.Errorf("reading inputs: %w", err)
			}
			if len(files) == 0 {
				return nil, usageError(fmt.Sprintf("reading inputs: %s has no *.json", path))
			}
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading inputs: %w", err)
			}
			doc, err := compiler.DecodeInput(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			out = append(out, verify.Input{Name: strings.TrimSuffix(filepath.Base(file), ".json"), Document: doc})
		}
	}
	return out, nil
}
