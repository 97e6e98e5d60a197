package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
)

// exitBusy says that another session maintains the logs, and nothing was done.
const exitBusy = 3

const databaseVariable = "ROWFENCE_DATABASE_URL"

// openDatabase is a pool on the URL of the flag or the variable.
func openDatabase(cmd *cobra.Command, url string) (*pgxpool.Pool, error) {
	if url == "" {
		url = os.Getenv(databaseVariable)
	}
	if url == "" {
		return nil, errors.New("--database-url or " + databaseVariable + " is needed")
	}
	return postgres.Open(cmd.Context(), url)
}

// retentionFlags are those that a server has as well.
func retentionFlags(f *pflag.FlagSet, c *maintain.Config, keyFile *string) {
	f.DurationVar(&c.AuditRetention, "audit-retention", 0, "how long audit logs are kept, such as 8760h; 0 is for ever")
	f.DurationVar(&c.ConnectionRetention, "connection-retention", 0, "how long connection logs are kept; 0 is for ever")
	f.StringVar(keyFile, "signing-key", "", "file with the private key that signs checkpoints (rowfence audit keygen)")
	f.StringVar(&c.CheckpointFile, "checkpoint-file", "", "file that each checkpoint is appended to, to be kept elsewhere; needs --signing-key")
}

func signingKey(path string) (ed25519.PrivateKey, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the signing key: %w", err)
	}
	key, err := seal.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("reading the signing key %s: %w", path, err)
	}
	return key, nil
}

func maintainCommand() *cobra.Command {
	var (
		config               maintain.Config
		url, format, keyFile string
		quiet                bool
	)
	cmd := &cobra.Command{
		Use:   "maintain",
		Short: "Make partitions, seal, and purge the logs, once",
		Long: `maintain does once what a server does every few minutes: it makes the partitions of
the months to come, seals the rows that are not sealed, purges those that are older
than the retention, and signs a checkpoint. It is for cron, and for databases whose
server may not do it: it needs the owner of the tables.

With --split it also copies rows that were there before the log had partitions into
months. That takes their space a second time until it is done; it may be interrupted,
and goes on where it was.

Exit codes: 0 done, 1 failed (what was done is in the report), 3 another session is at
it and nothing was done.`,
		Example: `  rowfence maintain --database-url postgres://owner@db/rowfence --audit-retention 8760h
  rowfence maintain --split --split-rows 5000000 --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format %s: want text or json", format)
			}
			if config.SplitRows < 0 || config.SplitRows > 0 && !config.Split {
				return errors.New("--split-rows: want a positive number, and --split")
			}
			if config.Key, err = signingKey(keyFile); err != nil {
				return err
			}
			if err := config.Check(); err != nil {
				return err
			}
			pool, err := openDatabase(cmd, url)
			if err != nil {
				return err
			}
			defer pool.Close()
			if err := postgres.NewDB(pool).Ready(cmd.Context()); err != nil {
				return err
			}
			if !quiet {
				config.Progress = cmd.ErrOrStderr()
			}
			report, err := maintain.Run(cmd.Context(), pool, config)
			if writeErr := printMaintenance(cmd.OutOrStdout(), report, format); writeErr != nil {
				err = errors.Join(err, writeErr)
			}
			if err == nil && report.Busy {
				return &exitError{code: exitBusy}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&url, "database-url", "", "PostgreSQL to maintain, as the owner of its tables; by default that of "+databaseVariable)
	retentionFlags(f, &config, &keyFile)
	f.IntVar(&config.Ahead, "ahead", maintain.DefaultAhead, "months to make partitions for, beyond this one")
	f.BoolVar(&config.Split, "split", false, "copy rows from before the partitions into months")
	f.Int64Var(&config.SplitRows, "split-rows", 0, "rows of each log to copy at most; 0 is all")
	f.StringVar(&format, "format", "text", "text or json")
	f.BoolVarP(&quiet, "quiet", "q", false, "no progress on standard error")
	cmd.AddCommand(grantCommand())
	return cmd
}

func printMaintenance(w io.Writer, r maintain.Report, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	if r.Busy {
		_, err := fmt.Fprintln(w, "another session maintains the logs; nothing was done")
		return err
	}
	for _, l := range r.Logs {
		fmt.Fprintf(w, "%s: %d partitions made, %d rows moved into them; %d rows sealed; %d rows purged",
			l.Log, len(l.Months.Partitions), l.Months.Moved, l.Sealed.Rows, l.PurgedRows)
		if l.Split != nil {
			fmt.Fprintf(w, "; %d rows split", l.Split.Copied)
			if !l.Split.Done {
				fmt.Fprint(w, ", more are left")
			}
		}
		fmt.Fprintln(w)
		for _, m := range l.Months.Left {
			fmt.Fprintf(w, "%s: too many rows of %s are in the default partition to be moved at once\n", l.Log, m)
		}
	}
	if r.Checkpoint != nil {
		line, err := json.Marshal(r.Checkpoint)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "checkpoint: %s\n", line)
	}
	return nil
}

func grantCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "grant ROLE",
		Short: "Give a role what a server needs, and no more",
		Long: `grant lets a role run a server on a migrated database: it may read and write all
tables, but of the logs it may only read and add rows, and complete connections; it can
change no row, no seal, and no table. A server that connects as it leaves migrations and
maintenance to --maintenance-url or to rowfence maintain.

Run it again after an upgrade: new tables need it.`,
		Example: `  rowfence maintain grant rowfence_server --database-url postgres://owner@db/rowfence`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError("want the name of one ROLE: rowfence maintain grant rowfence_server")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			pool, err := openDatabase(cmd, url)
			if err != nil {
				return err
			}
			defer pool.Close()
			if err := postgres.GrantServer(cmd.Context(), pool, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s may serve\n", args[0])
			return err
		},
	}
	cmd.Flags().StringVar(&url, "database-url", "", "PostgreSQL, as the owner of its tables; by default that of "+databaseVariable)
	return cmd
}
