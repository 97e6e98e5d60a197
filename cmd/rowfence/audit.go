package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
)

// exitTampered says that the logs are not as they were sealed.
const exitTampered = 3

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show that the logs were not tampered with",
		Long: `audit verifies the logs of a server against the chain of seals that it keeps, and
handles the keys and checkpoints for that. docs/tamper-evidence.md says what this
detects, and what it does not.`,
		Example: `  rowfence audit keygen --private-key sign.pem --public-key verify.pem
  rowfence audit verify --checkpoints checkpoints.jsonl --public-key verify.pem`,
	}
	cmd.AddCommand(auditVerifyCommand(), auditKeygenCommand(), auditCheckpointCommand())
	return cmd
}

func auditVerifyCommand() *cobra.Command {
	var url, checkpoints, keyFile, format string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Hold all rows against the seals, and the seals against checkpoints",
		Long: `verify reads both logs and the chain of seals in one snapshot, and names what is not
as it was sealed: rows that were changed, deleted or put among others, seals that are
missing or changed, a chain that is shorter than a checkpoint, or is another one. It
only reads.

The checkpoints are those of the file, and with --public-key also those of the database;
with neither, a chain that was written again as a whole is not noticed.

Exit codes: 0 all is as it was sealed, 1 that could not be found out, 3 it is not.`,
		Example: `  rowfence audit verify --checkpoints checkpoints.jsonl --public-key verify.pem
  rowfence audit verify --public-key verify.pem --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format %s: want text or json", format)
			}
			var options seal.Options
			if options.Checkpoints, options.BadLines, err = readCheckpoints(checkpoints); err != nil {
				return err
			}
			for _, line := range options.BadLines {
				if line.Torn {
					fmt.Fprintf(cmd.ErrOrStderr(), "line %d of the checkpoints is torn: it was not written to its end, and is left out\n", line.N)
				}
			}
			if keyFile != "" {
				text, err := os.ReadFile(keyFile)
				if err != nil {
					return fmt.Errorf("reading the public key: %w", err)
				}
				if options.Key, err = seal.ParsePublicKey(text); err != nil {
					return fmt.Errorf("reading the public key %s: %w", keyFile, err)
				}
			}
			pool, err := openDatabase(cmd, url)
			if err != nil {
				return err
			}
			defer pool.Close()
			if options.Key != nil {
				stored, err := postgres.Checkpoints(cmd.Context(), pool)
				if err != nil {
					return err
				}
				options.Checkpoints = append(options.Checkpoints, stored...)
			}
			if !quiet {
				options.Progress = func(rows int64) { fmt.Fprintf(cmd.ErrOrStderr(), "%d rows read\n", rows) }
			}
			report, err := postgres.VerifySeals(cmd.Context(), pool, options)
			if err != nil {
				return err
			}
			if err := printVerification(cmd.OutOrStdout(), report, format); err != nil {
				return err
			}
			if !report.OK {
				return &exitError{code: exitTampered}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&url, "database-url", "", "PostgreSQL with the logs; by default that of "+databaseVariable)
	f.StringVar(&checkpoints, "checkpoints", "", "file of checkpoints, a line of JSON each, or - for standard input")
	f.StringVar(&keyFile, "public-key", "", "file with the key that checkpoints are to be signed by")
	f.StringVar(&format, "format", "text", "text or json")
	f.BoolVarP(&quiet, "quiet", "q", false, "no progress on standard error")
	return cmd
}

func readCheckpoints(path string) (all []seal.Checkpoint, bad []seal.BadLine, err error) {
	file := os.Stdin
	switch path {
	case "":
		return nil, nil, nil
	case "-":
	default:
		if file, err = os.Open(path); err != nil {
			return nil, nil, fmt.Errorf("reading checkpoints: %w", err)
		}
		defer file.Close()
	}
	all, bad, err = seal.ReadCheckpoints(file)
	if err == nil && all == nil && bad != nil && !bad[0].Torn {
		err = fmt.Errorf("%s has no checkpoints: line %d: %w", path, bad[0].N, bad[0].Err)
	}
	return all, bad, err
}

func printVerification(w io.Writer, r seal.Report, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(w, p)
	}
	if left := r.Found - len(r.Problems); left > 0 {
		fmt.Fprintf(w, "and %d problems more\n", left)
	}
	fmt.Fprintf(w, "%d seals, %d rows as they were sealed, %d purged by %d purges, %d superseded\n", r.Seals, r.Rows, r.Purged, r.PurgeSeals, r.Superseded)
	for _, t := range postgres.LogTables {
		fmt.Fprintf(w, "%s: %d rows are not sealed yet\n", t.Name, r.Unsealed[t.Name])
	}
	if r.Checkpoints == 0 {
		fmt.Fprintln(w, "no checkpoint: a chain that was written again as a whole would not be noticed")
	} else {
		fmt.Fprintf(w, "%d checkpoints agree, up to seal %d\n", r.Checkpoints, r.CoveredTo)
	}
	_, err := fmt.Fprintln(w, map[bool]string{true: "verified", false: "NOT verified"}[r.OK])
	return err
}

func auditKeygenCommand() *cobra.Command {
	var private, public string
	cmd := &cobra.Command{
		Use:     "keygen",
		Short:   "Make a key that signs checkpoints",
		Long:    `keygen makes an ed25519 key: its private half for rowfence serve or maintain, its public half for rowfence audit verify. It replaces no file.`,
		Example: `  rowfence audit keygen --private-key sign.pem --public-key verify.pem`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if private == "" || public == "" {
				return errors.New("--private-key and --public-key are needed")
			}
			privateText, publicText, err := seal.NewKey()
			if err != nil {
				return err
			}
			if err := writeNew(private, privateText, 0o600); err != nil {
				return err
			}
			if err := writeNew(public, publicText, 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s signs checkpoints, and %s is what they are verified with\n", private, public)
			return err
		},
	}
	cmd.Flags().StringVar(&private, "private-key", "", "file to write the private key to, readable by its owner alone")
	cmd.Flags().StringVar(&public, "public-key", "", "file to write the public key to")
	return cmd
}

func writeNew(path string, text []byte, mode os.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(text); err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	return nil
}

func auditCheckpointCommand() *cobra.Command {
	var url, keyFile, file string
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the checkpoints of the database, or sign one now",
		Long: `checkpoint prints the checkpoints that the database has, a line of JSON each, to be
kept elsewhere. With --signing-key it first signs the end of the chain, which the
owner of the tables may; rows that are not sealed yet are not covered.

Exit codes: 0 done, 1 failed, 3 another session maintains the logs.`,
		Example: `  rowfence audit checkpoint > checkpoints.jsonl
  rowfence audit checkpoint --signing-key sign.pem --append checkpoints.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := signingKey(keyFile)
			if err != nil {
				return err
			}
			if file != "" && key == nil {
				return errors.New("--append needs --signing-key")
			}
			pool, err := openDatabase(cmd, url)
			if err != nil {
				return err
			}
			defer pool.Close()
			if key != nil {
				m, err := postgres.StartMaintenance(cmd.Context(), pool)
				if errors.Is(err, postgres.ErrMaintained) {
					return &exitError{exitBusy, err}
				}
				if err != nil {
					return err
				}
				checkpoint, err := m.Checkpoint(cmd.Context(), key)
				if err == nil && checkpoint.N > 0 && file != "" {
					err = maintain.KeepCheckpoints(cmd.Context(), m, file, checkpoint)
				}
				if err = errors.Join(err, m.Close()); err != nil {
					return err
				}
			}
			all, err := postgres.Checkpoints(cmd.Context(), pool)
			if err != nil {
				return err
			}
			encoder := json.NewEncoder(cmd.OutOrStdout())
			for _, c := range all {
				if err := encoder.Encode(c); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&url, "database-url", "", "PostgreSQL with the logs; by default that of "+databaseVariable)
	f.StringVar(&keyFile, "signing-key", "", "file with the private key to sign with")
	f.StringVar(&file, "append", "", "file that the checkpoints which it lacks are appended to")
	return cmd
}
