// Package bench holds what is measured and planned on a large log: benchmarks of
// the statements that the server runs beside the ways not taken, and tests of
// the plans that PostgreSQL makes for them.
//
//	go test ./internal/bench -run '^$' -bench . -benchmem
//	ROWFENCE_PLAN_ROWS=1000000 go test ./internal/bench -run Plan
//
// ROWFENCE_BENCH_ROWS is the number of audit logs of the benchmarks (1,000,000
// by default), ROWFENCE_PLAN_ROWS that of the tests (200,000). They are loaded
// once for each run of the test binary.
package bench
