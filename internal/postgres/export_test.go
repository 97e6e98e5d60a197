package postgres

// MigrateTo is Migrate up to a version, for tests of what a later one makes of a
// database that is in use.
var MigrateTo = migrateTo

// Hasty is the storage that gives a page's first statement no time.
func Hasty(db *DB) *DB { return &DB{pool: db.pool} }
