package postgres

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/rowfence/rowfence/internal/audit"
)

// What the newest event says counts; at one time the greater value, so that the
// order of coming does not matter.
const upsertResources = `
INSERT INTO resources AS r (kind, id, name, named_at, owner_id, owned_at, created_at, deleted_at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[])
ON CONFLICT (kind, id) DO UPDATE SET
	name = CASE WHEN r.named_at IS NULL OR (excluded.named_at, excluded.name COLLATE "C") > (r.named_at, r.name COLLATE "C")
		THEN excluded.name ELSE r.name END,
	named_at = greatest(r.named_at, excluded.named_at),
	owner_id = CASE WHEN r.owned_at IS NULL OR (excluded.owned_at, excluded.owner_id) > (r.owned_at, r.owner_id)
		THEN excluded.owner_id ELSE r.owner_id END,
	owned_at = greatest(r.owned_at, excluded.owned_at),
	created_at = greatest(r.created_at, excluded.created_at),
	deleted_at = greatest(r.deleted_at, excluded.deleted_at)`

type resourceKey struct {
	kind string
	id   uuid.UUID
}

// resource is what events say of a resource; zero times are of what they don't say.
type resource struct {
	name                                   string
	owner                                  uuid.UUID
	namedAt, ownedAt, createdAt, deletedAt time.Time
}

func (r *resource) add(e *audit.Event) {
	if e.ResourceTarget != "" && (e.Time.After(r.namedAt) || e.Time.Equal(r.namedAt) && e.ResourceTarget > r.name) {
		r.name, r.namedAt = e.ResourceTarget, e.Time
	}
	if owner := e.ResourceOwnerID; owner != uuid.Nil &&
		(e.Time.After(r.ownedAt) || e.Time.Equal(r.ownedAt) && bytes.Compare(owner[:], r.owner[:]) > 0) {
		r.owner, r.ownedAt = owner, e.Time
	}
	switch e.Action {
	case "create", "register":
		r.createdAt = later(r.createdAt, e.Time)
	case "delete":
		r.deletedAt = later(r.deletedAt, e.Time)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// succeeded reports whether what the event tells of was done.
func succeeded(e *audit.Event) bool {
	return e.StatusCode < http.StatusBadRequest && e.StatusCode != http.StatusSeeOther
}

// registerResources takes from the events what the resources are called, whose they
// are, and which are deleted.
func (g *group) registerResources(ctx context.Context) error {
	known := map[resourceKey]*resource{}
	for _, i := range g.fresh {
		for n := range g.batches[i].Audit {
			e := &g.batches[i].Audit[n]
			if e.ResourceID == uuid.Nil || !succeeded(e) {
				continue
			}
			key := resourceKey{e.ResourceType, e.ResourceID}
			if known[key] == nil {
				known[key] = &resource{}
			}
			known[key].add(e)
		}
	}
	if len(known) == 0 {
		return nil
	}
	keys := make([]resourceKey, 0, len(known))
	for k := range known {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b resourceKey) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), bytes.Compare(a.id[:], b.id[:]))
	})
	var (
		kinds, names                     = make([]string, len(keys)), make([]string, len(keys))
		ids, owners                      = make([]pgtype.UUID, len(keys)), make([]pgtype.UUID, len(keys))
		named, owned, created, deletedAt = times(len(keys)), times(len(keys)), times(len(keys)), times(len(keys))
	)
	for i, k := range keys {
		r := known[k]
		kinds[i], ids[i], names[i], owners[i] = k.kind, nullUUID(k.id), r.name, nullUUID(r.owner)
		named[i], owned[i], created[i], deletedAt[i] = nullTime(r.namedAt), nullTime(r.ownedAt), nullTime(r.createdAt), nullTime(r.deletedAt)
	}
	_, err := g.tx.Exec(ctx, upsertResources, kinds, ids, names, named, owners, owned, created, deletedAt)
	return err
}

func times(n int) []pgtype.Timestamptz { return make([]pgtype.Timestamptz, n) }

// ResourceKinds are those of the names that the registry has.
func (db *DB) ResourceKinds(ctx context.Context, names []string) ([]string, error) {
	const doing = "looking up kinds of resources"
	rows, err := db.pool.Query(ctx, "SELECT name FROM resource_kinds WHERE name = ANY($1)", names)
	if err != nil {
		return nil, queryError(ctx, doing, err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return known, queryError(ctx, doing, err)
}

// AllResourceKinds are the names of the kinds that the registry has.
func (db *DB) AllResourceKinds(ctx context.Context) ([]string, error) {
	const doing = "reading the kinds of resources"
	rows, err := db.pool.Query(ctx, "SELECT name FROM resource_kinds")
	if err != nil {
		return nil, queryError(ctx, doing, err)
	}
	kinds, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return kinds, queryError(ctx, doing, err)
}

const resourcesOfLogs = `
SELECT w.kind, w.id, coalesce(k.display_name, ''), coalesce(k.link_template, ''), coalesce(k.icon, ''),
	coalesce(r.name, ''), coalesce(r.deleted, false), coalesce(u.username, '')
FROM unnest($1::text[], $2::uuid[]) AS w(kind, id)
LEFT JOIN resource_kinds AS k ON k.name = w.kind
LEFT JOIN resources AS r ON r.kind = w.kind AND r.id = w.id
LEFT JOIN users AS u ON u.id = r.owner_id`

// describe adds to the logs what the registry knows of their resources, in one query.
func describe(ctx context.Context, q rowsOf, logs []audit.Log) error {
	const doing = "loading the resources of audit logs"
	byKey := map[resourceKey]audit.Resource{}
	var kinds []string
	var ids []pgtype.UUID
	for _, l := range logs {
		key := resourceKey{l.ResourceType, l.ResourceID}
		if _, seen := byKey[key]; !seen {
			byKey[key] = audit.Resource{}
			// The zero UUID, where there is none, is no resource's.
			kinds, ids = append(kinds, key.kind), append(ids, pgtype.UUID{Bytes: key.id, Valid: true})
		}
	}
	if kinds == nil {
		return nil
	}
	rows, err := q.Query(ctx, resourcesOfLogs, kinds, ids)
	if err != nil {
		return queryError(ctx, doing, err)
	}
	var key resourceKey
	var r audit.Resource
	_, err = pgx.ForEachRow(rows, []any{&key.kind, &key.id, &r.KindName, &r.LinkTemplate, &r.Icon, &r.Name, &r.Deleted, &r.Owner}, func() error {
		byKey[key] = r
		return nil
	})
	if err != nil {
		return queryError(ctx, doing, err)
	}
	for i := range logs {
		logs[i].Describe(byKey[resourceKey{logs[i].ResourceType, logs[i].ResourceID}])
	}
	return nil
}
