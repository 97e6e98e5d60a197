package audit

import "time"

// Counting says how rows are counted.
type Counting struct {
	Cap   int           // the count stops at Cap + 1
	Exact bool          // it does not, unless it takes longer than Limit
	Limit time.Duration // for counting all rows
	// Within is for counting the newest rows when Limit has passed, or when no index
	// serves the search.
	Within time.Duration
}

// Count is how many rows were found.
type Count struct {
	Rows       int
	Cap        int  // Rows stop at Cap + 1; 0 if they were counted to the end
	LowerBound bool // not all rows were looked at: there may be more than Rows
}
