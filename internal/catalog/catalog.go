// Package catalog reads what a database has: the tables and enumerated types that a
// schema names, with the types of their columns and which of those can be NULL. All
// SQL text on PostgreSQL's catalogue is here.
package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Catalog is a part of a database's catalogue.
type Catalog struct {
	Encoding   string   // of the database
	SearchPath []string // where names that are not qualified are looked for
	// Relations are the names of tables and views outside PostgreSQL's own schemas,
	// qualified where they are not in the search path.
	Relations []string

	tables map[string]*Table
	types  map[string]*Type
}

// Table is a table, view or the like.
type Table struct {
	Schema, Name string
	Kind         Kind
	Columns      []Column

	oid     uint32
	parts   bool       // rows of tables that inherit from it are its rows, too
	unique  [][]string // columns of which no two rows have the same values
	foreign []foreignKey
}

// foreignKey says that each row, where none of the columns is NULL, has one in the
// other table.
type foreignKey struct {
	table   uint32
	columns map[string]string // of the other table, by those of this one
}

// Kind is what a table is. The values are PostgreSQL's (pg_class.relkind).
type Kind string

// The kinds.
const (
	KindTable            Kind = "r"
	KindPartitionedTable Kind = "p"
	KindView             Kind = "v"
	KindMaterializedView Kind = "m"
	KindForeignTable     Kind = "f"
)

// String is the kind for a reader.
func (k Kind) String() string {
	switch k {
	case KindView:
		return "view"
	case KindMaterializedView:
		return "materialized view"
	case KindForeignTable:
		return "foreign table"
	default:
		return "table"
	}
}

// Column is a column of a table.
type Column struct {
	Name       string
	Type       *Type
	Dimensions int  // of an array, as declared
	NotNull    bool // enforced for the table and all tables that are parts of it
	// Nondeterministic is the collation under which different strings may be equal;
	// empty where there is none such.
	Nondeterministic string
}

// Type is a type of PostgreSQL.
type Type struct {
	Schema, Name string
	Text         string   // as PostgreSQL writes it, such as character varying
	Base         *Type    // of a domain
	NotNull      bool     // a domain that says so
	Elem         *Type    // of an array
	Labels       []string // of an enumerated type, in their order
	oid          uint32
	enum         bool
}

// IsEnum reports whether t is an enumerated type.
func (t *Type) IsEnum() bool { return t.enum }

// Same reports whether both are the same type of the database.
func (t *Type) Same(other *Type) bool { return t.oid == other.oid }

// Plain is t without the domains around it.
func (t *Type) Plain() *Type {
	for t.Base != nil {
		t = t.Base
	}
	return t
}

// Table is the table of the name, as SQL on the connection would find it.
func (c *Catalog) Table(name string) (*Table, bool) {
	t, ok := c.tables[name]
	return t, ok
}

// Type is the type of the name, as SQL on the connection would find it.
func (c *Catalog) Type(name string) (*Type, bool) {
	t, ok := c.types[name]
	return t, ok
}

// Column is the column of the name.
func (t *Table) Column(name string) (*Column, bool) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return nil, false
	}
	return &t.Columns[i], true
}

// Unique reports whether PostgreSQL sees to it that no two rows have the same values,
// none of them NULL, in the columns.
func (t *Table) Unique(columns []string) bool {
	if t.parts { // each of the tables has an index of its own
		return false
	}
	return slices.ContainsFunc(t.unique, func(key []string) bool {
		return !slices.ContainsFunc(key, func(c string) bool { return !slices.Contains(columns, c) })
	})
}

// HasRow reports whether PostgreSQL sees to it that each row of t has a row of the
// other table, in which the columns have the values that those of t have.
func (t *Table) HasRow(other *Table, columns map[string]string) bool {
	if t.parts {
		return false
	}
	return slices.ContainsFunc(t.foreign, func(key foreignKey) bool {
		if key.table != other.oid {
			return false
		}
		for own, theirs := range columns {
			if key.columns[own] != theirs {
				return false
			}
		}
		for own := range key.columns { // one that is NULL lets the row go without
			if c, ok := t.Column(own); !ok || !c.NotNull {
				return false
			}
		}
		return true
	})
}

// Names are what is looked for, as a schema writes it: name or schema.name.
type Names struct{ Tables, Types []string }

// Connect connects to the database at the URL, as poolers of any kind allow. An error
// has no password in it.
func Connect(ctx context.Context, url string, timeout time.Duration) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil { // pgx leaves passwords out of it
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	config.ConnectTimeout = timeout
	// Unnamed statements, for poolers that know no other.
	config.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return conn, nil
}

// Read reads the catalogue of the database at the URL, in one read-only transaction.
// Neither connecting nor any statement takes longer than the timeout.
func Read(ctx context.Context, url string, timeout time.Duration, names Names) (*Catalog, error) {
	conn, err := Connect(ctx, url, timeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("beginning a read-only transaction: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	r := reader{tx: tx, types: map[uint32]*Type{}}
	if err := r.limit(ctx, timeout); err != nil {
		return nil, err
	}
	return r.catalog(ctx, names)
}

func (r *reader) catalog(ctx context.Context, names Names) (*Catalog, error) {
	c := &Catalog{}
	if err := r.database(ctx, c); err != nil {
		return nil, err
	}
	found, err := r.tables(ctx, split(names.Tables))
	if err != nil {
		return nil, err
	}
	c.tables = found
	if c.types, err = r.named(ctx, split(names.Types)); err != nil {
		return nil, err
	}
	if c.Relations, err = r.relations(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// name is one that may be qualified.
type name struct{ full, schema, name string }

// split leaves out names of more parts: they name nothing.
func split(full []string) []name {
	var out []name
	for _, f := range full {
		parts := strings.Split(f, ".")
		switch len(parts) {
		case 1:
			out = append(out, name{f, "", f})
		case 2:
			out = append(out, name{f, parts[0], parts[1]})
		}
	}
	return out
}
