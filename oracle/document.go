package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

// Documents reads the documents of all rows of the case's table as Go makes them, from
// the values that a driver hands out, by key. A service that decides on objects that it
// has loaded makes them like this; PostgreSQL's, in [Row], must be equal.
func Documents(ctx context.Context, db DB, c Case) (map[string]ast.Value, error) {
	return documents(ctx, db, table{c.Resource.Table, c.key()}, c.Resource.Fields)
}

// documents are those of all rows of a table, by their keys.
func documents(ctx context.Context, db DB, from table, all []compiler.Field) (map[string]ast.Value, error) {
	columns := []string{from.key}
	var fields []*compiler.Field
	children := map[*compiler.Field]map[string][]any{}
	for i := range all {
		f := &all[i]
		if f.Const != nil {
			continue
		}
		if f.Relation != nil {
			var err error
			if children[f], err = related(ctx, db, from, f.Relation); err != nil {
				return nil, err
			}
			continue
		}
		column := sqlgen.QuoteName(f.Column.Name)
		switch t := f.Column.Type; {
		case t.Kind == sqlgen.KindEnum && t.Array:
			column += "::text[]" // drivers don't know the array type
		case t.Kind == sqlgen.KindJSONB: // with all digits of its numbers
			column += "::text"
		}
		columns = append(columns, column)
		fields = append(fields, f)
	}
	rows, err := db.Query(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+sqlgen.QuoteName(from.name))
	if err != nil {
		return nil, fmt.Errorf("reading rows: %w", err)
	}
	out := map[string]ast.Value{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		values, err := row.Values()
		if err != nil {
			return struct{}{}, err
		}
		byField := map[*compiler.Field]any{}
		for i, f := range fields {
			byField[f] = values[i+1]
		}
		key := values[0].(string)
		for f, of := range children {
			switch docs := of[key]; {
			case f.Relation.Many:
				byField[f] = append([]any{}, docs...)
			case len(docs) > 1:
				return struct{}{}, fmt.Errorf("a row has %d rows of %s, where one was promised", len(docs), f.Relation.Table)
			case len(docs) == 1:
				byField[f] = docs[0]
			}
		}
		doc, err := document(all, byField)
		out[key] = doc
		return struct{}{}, err
	})
	return out, err
}

// table is a table with a SQL expression that names its rows as text.
type table struct{ name, key string }

// related are the documents of the rows that belong to each row of a table, by its
// key.
func related(ctx context.Context, db DB, parent table, r *compiler.Relation) (map[string][]any, error) {
	child := table{r.Table, "(" + placeOfRow + ")"}
	docs, err := documents(ctx, db, child, r.Fields)
	if err != nil {
		return nil, err
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, "SELECT parent.row_key, child.row_key FROM (SELECT *, %s AS row_key FROM %s) AS parent JOIN (SELECT *, %s AS row_key FROM %s) AS child ON TRUE",
		parent.key, sqlgen.QuoteName(parent.name), child.key, sqlgen.QuoteName(child.name))
	for _, j := range r.Join {
		fmt.Fprintf(&sql, " AND child.%s = parent.%s", sqlgen.QuoteName(j.Child), sqlgen.QuoteName(j.Parent))
	}
	if r.Order != "" {
		fmt.Fprintf(&sql, " ORDER BY child.%s", sqlgen.QuoteName(r.Order))
	}
	rows, err := db.Query(ctx, sql.String())
	if err != nil {
		return nil, fmt.Errorf("reading the rows of %s: %w", r.Table, err)
	}
	out := map[string][]any{}
	var of, key string
	_, err = pgx.ForEachRow(rows, []any{&of, &key}, func() error {
		out[of] = append(out[of], docs[key])
		return nil
	})
	return out, err
}

// document lays out the values of a row as the fields say.
func document(fields []compiler.Field, values map[*compiler.Field]any) (ast.Value, error) {
	doc := map[string]any{}
	for i := range fields {
		f := &fields[i]
		at := doc
		for _, key := range f.Path[:len(f.Path)-1] {
			next, ok := at[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
		key := f.Path[len(f.Path)-1]
		switch v := values[f]; {
		case f.Const != nil:
			at[key] = f.Const
		case v != nil && f.Relation != nil:
			at[key] = v
		case v != nil:
			shown, err := shown(f, v)
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", f.Column.Name, err)
			}
			at[key] = shown
		case f.Null != nil:
			at[key] = f.Null
		}
	}
	return ast.InterfaceToValue(doc)
}

// shown is what the policy sees of a value that a driver hands out.
func shown(f *compiler.Field, v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int16, int32, int64:
		return v, nil
	case string:
		if f.Column.Type.Kind == sqlgen.KindJSONB {
			return ast.ValueFromReader(strings.NewReader(v))
		}
		return v, nil
	case float64:
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64)), nil
	case [16]byte:
		return uuid.UUID(v).String(), nil
	case uuid.UUID: // where a codec for it is registered
		return v.String(), nil
	case pgtype.Numeric:
		text, err := v.MarshalJSON()
		return json.Number(text), err
	case netip.Prefix:
		if v.IsSingleIP() {
			return inetText(v.Addr()), nil
		}
		return inetText(v.Addr()) + "/" + strconv.Itoa(v.Bits()), nil
	case time.Time:
		switch {
		case f.Nanos:
			ns := new(big.Int).Mul(big.NewInt(v.Unix()), big.NewInt(1e9))
			return json.Number(ns.Add(ns, big.NewInt(int64(v.Nanosecond()))).String()), nil
		case f.Column.Type.Kind == sqlgen.KindDate:
			return v.Format(time.DateOnly), nil
		default:
			return v.UTC().Format(time.RFC3339Nano), nil
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var err error
			if out[i], err = shown(f, e); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return nil, fmt.Errorf("a value of the type %T", v)
	}
}

// inetText is an address as PostgreSQL prints it: it shows the IPv4 address at the end
// of an IPv6 address that has nothing else, which Go does of mapped ones only.
func inetText(a netip.Addr) string {
	b := a.As16()
	zeros := !slices.ContainsFunc(b[:12], func(x byte) bool { return x != 0 })
	if a.Is6() && zeros && (b[12] != 0 || b[13] != 0) {
		return "::" + netip.AddrFrom4([4]byte(b[12:])).String()
	}
	return a.String()
}
