package postgres_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// The organizations of an auditor of 1,000 are an argument of each statement.
func BenchmarkEncodeUUIDs(b *testing.B) {
	conn, err := open(b).Acquire(b.Context())
	require.NoError(b, err)
	defer conn.Release()
	ids := make([]uuid.UUID, 1000)
	for i := range ids {
		ids[i] = uuid.New()
	}
	for _, types := range []struct {
		name string
		of   *pgtype.Map
	}{{"pgx's own", pgtype.NewMap()}, {"the pool's", conn.Conn().TypeMap()}} {
		b.Run(types.name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf, err = types.of.Encode(pgtype.UUIDArrayOID, pgtype.BinaryFormatCode, ids, buf[:0])
				require.NoError(b, err)
			}
			require.Len(b, buf, 20+20*len(ids))
		})
	}
}
