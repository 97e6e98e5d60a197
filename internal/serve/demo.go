package serve

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"
)

// loadDemo fills an empty database with demo data.
func (m *Main) loadDemo(context.Context, *pgxpool.Pool) error {
	return errors.New("this build has no demo data")
}
