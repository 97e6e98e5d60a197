package scale

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/rls"
)

const role = "rowfence_scale"

var target = rls.Target{Resource: "audit_log", Action: "read"}

// secure puts the policy on the log, for a role of its own.
func secure(ctx context.Context, pool *pgxpool.Pool, engine *rowfence.Engine, any *rowfence.Subject) error {
	template, _, err := engine.Template(ctx, any, target.Action, target.Resource)
	if err != nil {
		return err
	}
	condition, err := rls.NewCondition(template, target)
	if err != nil {
		return err
	}
	plan, err := engine.Plan(target.Resource)
	if err != nil {
		return err
	}
	policies, err := rls.NewPolicies(plan.Resource(), map[rls.Command]*rls.Condition{rls.Select: condition}, rls.Options{Role: role})
	if err != nil {
		return err
	}
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// Without arguments it is sent as one, of several statements.
	sql := strings.Join([]string{
		"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '" + role + "') THEN CREATE ROLE " + role + "; END IF; END $$",
		"DROP OWNED BY " + role, policies.Create(), "GRANT SELECT ON organizations, users TO " + role,
	}, ";\n")
	if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("creating the policies: %w", err)
	}
	return tx.Commit(ctx)
}

// A reader is a transaction of the role, on behalf of a subject.
type reader struct {
	conn     *pgxpool.Conn
	tx       pgx.Tx
	settings *rls.Settings
}

// begin begins the transaction, or another after one that failed.
func (r *reader) begin(ctx context.Context) (err error) {
	if r.tx != nil {
		if r.tx.Conn().PgConn().TxStatus() == 'T' {
			return nil
		}
		_ = r.tx.Rollback(ctx)
	}
	if r.tx, err = r.conn.Begin(ctx); err != nil {
		return err
	}
	if err := r.settings.Set(ctx, r.tx); err != nil {
		return err
	}
	if _, err := r.tx.Exec(ctx, "SET LOCAL ROLE "+role); err != nil {
		return err
	}
	return rls.Active(ctx, r.tx, "audit_logs")
}

func (r *reader) close(ctx context.Context) {
	if r.tx != nil {
		_ = r.tx.Rollback(ctx)
	}
	r.conn.Release()
}
