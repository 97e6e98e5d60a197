package postgres

// MigrateTo is Migrate up to a version, for tests of what a later one makes of a
// database that is in use.
var MigrateTo = migrateTo
