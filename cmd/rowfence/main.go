// Command rowfence compiles Rego policies into SQL conditions and serves the audit
// log that they guard.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // of the program or its surroundings, or wrong usage
	exitRefused = 2 // the policy, schema or input is refused
)

// exitError ends the program with a code of a command's own. Where it holds no error
// the command has said all there is.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d: %v", e.code, e.err) }

func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := rootCommand()
	err := cmd.ExecuteContext(ctx)
	var refused *refusedError
	var coded *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &refused):
		refused.print(cmd.ErrOrStderr())
		return exitRefused
	case errors.As(err, &coded):
		if coded.err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "rowfence: %v\n", coded.err)
		}
		return coded.code
	default:
		fmt.Fprintf(cmd.ErrOrStderr(), "rowfence: %v\n", err)
		return exitFailure
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "rowfence",
		Short: "Authorization policies as exact, fast SQL",
		Long: `rowfence turns an authorization policy, written in Rego, into a PostgreSQL
condition that is true of exactly the rows that the policy allows, and serves the
audit log that needs it most.

Exit codes: 0 done, 1 failed or used wrongly, 2 the policy, schema or input is refused.
Those of check, verify, audit and maintain are in their own help.`,
		Example: `  rowfence compile -p policies/authz.rego -s policies/schema.yaml -r audit_log -i input.json
  rowfence serve --demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	root.SetVersionTemplate("rowfence {{.Version}}\n")
	root.AddCommand(compileCommand(), explainCommand(), rlsCommand(), checkCommand(), verifyCommand(), explainErrorCommand(), serveCommand(), maintainCommand(), auditCommand(), &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  rowfence version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "rowfence %s\n", version())
			return err
		},
	})
	return root
}

// version is the module's version as the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	return v + " " + info.GoVersion
}
