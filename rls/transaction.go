package rls

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence"
)

// Settings are what the policies of one or more targets read of a subject: as the engine
// decided when they were made. They are immutable, and may be set in any number of
// transactions.
type Settings struct{ names, values []string }

func (s *Settings) add(name, value string) {
	s.names, s.values = append(s.names, name), append(s.values, value)
}

// For makes the settings of a subject for all that a transaction does: for a statement
// that updates, those to read and to update. On an error there are none.
func For(ctx context.Context, engine *rowfence.Engine, subject *rowfence.Subject, targets ...Target) (*Settings, error) {
	if len(targets) == 0 {
		return nil, errors.New("settings are for a target, and there is none")
	}
	all := &Settings{}
	for _, target := range targets {
		one, err := forTarget(ctx, engine, subject, target)
		if err != nil {
			return nil, fmt.Errorf("making the settings to %s %s: %w", target.Action, target.Resource, err)
		}
		all.names, all.values = append(all.names, one.names...), append(all.values, one.values...)
	}
	return all, nil
}

func forTarget(ctx context.Context, engine *rowfence.Engine, subject *rowfence.Subject, target Target) (*Settings, error) {
	template, input, err := engine.Template(ctx, subject, target.Action, target.Resource)
	if err != nil {
		return nil, err
	}
	c, err := NewCondition(template, target)
	if err != nil {
		return nil, err
	}
	return c.Settings(ctx, input)
}

// SQL is the statement that sets them until the transaction ends, and its arguments. In
// no transaction it sets nothing.
func (s *Settings) SQL() (statement string, args []any) {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, name := range s.names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("set_config('" + name + "', $" + strconv.Itoa(i+1) + ", true)")
		args = append(args, s.values[i])
	}
	return b.String(), args
}

// Names are the settings' names, in the order of the arguments of [Settings.SQL].
func (s *Settings) Names() []string { return slices.Clone(s.names) }

// ErrNoTransaction says that settings are of a transaction, and there is none.
var ErrNoTransaction = errors.New("settings last for a transaction, and there is none")

// Set sets them in a transaction of pgx, until it ends or is rolled back to a savepoint
// before. On an error the transaction must not go on.
func (s *Settings) Set(ctx context.Context, tx pgx.Tx) error {
	if s == nil || len(s.names) == 0 {
		return errors.New("settings are made by For, and there are none")
	}
	if tx == nil || tx.Conn() == nil || tx.Conn().PgConn().TxStatus() != 'T' {
		return ErrNoTransaction
	}
	statement, args := s.SQL()
	if _, err := tx.Exec(ctx, statement, args...); err != nil {
		return fmt.Errorf("setting what row-level security reads: %w", err)
	}
	return nil
}

// SetTx is [Settings.Set] in a transaction of database/sql.
func (s *Settings) SetTx(ctx context.Context, tx *sql.Tx) error {
	if s == nil || len(s.names) == 0 {
		return errors.New("settings are made by For, and there are none")
	}
	if tx == nil {
		return ErrNoTransaction
	}
	statement, args := s.SQL()
	if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("setting what row-level security reads: %w", err)
	}
	return nil
}

// Active is an error where PostgreSQL does not apply the policies of a table to the
// transaction's present role: a superuser, a role with BYPASSRLS, the table's owner
// unless it is forced; or where the table has none. It can be asked once a connection,
// as the role that queries run as.
func Active(ctx context.Context, tx pgx.Tx, table string) error {
	var role string
	var active bool
	err := tx.QueryRow(ctx, "SELECT current_user::text, row_security_active($1)", table).Scan(&role, &active)
	if err != nil {
		return fmt.Errorf("asking for the row-level security of %s: %w", table, err)
	}
	if !active {
		return fmt.Errorf("the row-level security of %s is not active for role %s", table, role)
	}
	return nil
}
