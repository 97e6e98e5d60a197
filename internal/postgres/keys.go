package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
)

// Of servers that start at once, one gives the key and all read it.
const (
	offerKey = `INSERT INTO server_keys (name, key) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	readKey  = `SELECT key FROM server_keys WHERE name = $1`
)

const keyBytes = 32

// Key is the secret key of that name, which all servers on the database share. It
// is made when it is first asked for.
func (db *DB) Key(ctx context.Context, name string) ([]byte, error) {
	doing := fmt.Sprintf("reading the key %q", name)
	offered := make([]byte, keyBytes)
	_, _ = rand.Read(offered) // it ends the program rather than to fail
	if _, err := db.pool.Exec(ctx, offerKey, name, offered); err != nil {
		return nil, queryError(ctx, doing, err)
	}
	var key []byte
	err := db.pool.QueryRow(ctx, readKey, name).Scan(&key)
	return key, queryError(ctx, doing, err)
}
