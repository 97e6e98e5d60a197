package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/serve"
)

func serveCommand() *cobra.Command {
	config := serve.Config{}
	var logFormat, keyFile string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the audit server",
		Long: `serve runs the audit server: search over the audit log, authorized by the bundled
policy. Without a database URL it starts a private PostgreSQL whose data is kept in the
data directory. It stops on an interrupt, after the requests that are running.

Every few minutes it maintains the logs: see rowfence maintain. Where it connects as a
role that does not own the tables (rowfence maintain grant), that is left to another one,
or done by --maintenance-url.`,
		Example: `  rowfence serve --demo
  rowfence serve --demo --rows 1000000
  rowfence serve --database-url postgres://rowfence@db/rowfence --listen 127.0.0.1:8080`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(logFormat)
			if err != nil {
				return err
			}
			if rows := cmd.Flags().Changed("rows"); rows && !config.Demo {
				return errors.New("--rows says how much demo data to load: it needs --demo")
			} else if rows && config.Rows <= 0 {
				return fmt.Errorf("--rows %d: want a positive number", config.Rows)
			}
			// Not the flag's default, which --help would print with its password.
			if !cmd.Flags().Changed("database-url") {
				config.DatabaseURL = os.Getenv("ROWFENCE_DATABASE_URL")
			}
			if !cmd.Flags().Changed("maintenance-url") {
				config.MaintenanceURL = os.Getenv("ROWFENCE_MAINTENANCE_URL")
			}
			if config.MaintainEvery != 0 && config.MaintainEvery < time.Second {
				return fmt.Errorf("--maintain-every %s: want 0, which is never, or a second and more", config.MaintainEvery)
			}
			if config.Maintain.Key, err = signingKey(keyFile); err != nil {
				return err
			}
			if err := config.Maintain.Check(); err != nil {
				return err
			}
			config.Log, config.Progress = log, cmd.OutOrStdout()
			return serve.New(config).Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&config.DatabaseURL, "database-url", "", "PostgreSQL to use, by default that of the variable ROWFENCE_DATABASE_URL; a private one when empty")
	f.StringVar(&config.Listen, "listen", serve.DefaultListen, "address to listen on")
	f.StringVar(&config.DataDir, "data-dir", ".rowfence", "directory for the private PostgreSQL and demo-tokens.json")
	f.BoolVar(&config.Demo, "demo", false, "load demo data, and print the tokens of five people and a service; they are the same everywhere")
	f.IntVar(&config.Rows, "rows", 0, "audit logs of the demo data (default 200000)")
	f.StringVar(&config.MaintenanceURL, "maintenance-url", "", "the same PostgreSQL as the owner of its tables, for migrations and maintenance; by default that of ROWFENCE_MAINTENANCE_URL, else --database-url")
	f.DurationVar(&config.MaintainEvery, "maintain-every", maintain.DefaultEvery, "how often partitions are made, rows sealed and old ones purged; 0 is never")
	retentionFlags(f, &config.Maintain, &keyFile)
	config.Maintain.Ahead = maintain.DefaultAhead
	f.StringVar(&logFormat, "log-format", "text", "text or json; logs go to standard error")
	return cmd
}

func logger(format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, nil)), nil
	default:
		return nil, fmt.Errorf("--log-format %s: want text or json", format)
	}
}
