package audit

import "github.com/rowfence/rowfence/auditquery"

// Written are rows in the order in which they were written.
type Written[Row any] struct {
	Rows []Row
	At   []auditquery.Position // of the rows
	End  auditquery.Position   // where to go on
	More bool                  // there may be rows behind the end already
}
