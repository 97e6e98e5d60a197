package scale

import (
	"context"
	"encoding/json"
	"strings"
)

// A node of a plan that was executed. Rows are per loop.
type node struct {
	Relation string  `json:"Relation Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Removed  float64 `json:"Rows Removed by Filter"`
	Rechecks float64 `json:"Rows Removed by Index Recheck"`
	Plans    []node  `json:"Plans"`
}

// looked are the rows that scans of the log, or of its partitions, came by, also
// those that they left out.
func (n node) looked() float64 {
	var sum float64
	if strings.HasPrefix(n.Relation, "audit_logs") {
		sum = (n.Rows + n.Removed + n.Rechecks) * n.Loops
	}
	for _, child := range n.Plans {
		sum += child.looked()
	}
	return sum
}

const explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "

// looked are the rows that the statement looks at.
func looked(ctx context.Context, in querier, s statement) (float64, error) {
	var text []byte
	if err := in.QueryRow(ctx, explain+s.sql, s.args...).Scan(&text); err != nil {
		return 0, err
	}
	var plans []struct{ Plan node }
	if err := json.Unmarshal(text, &plans); err != nil {
		return 0, err
	}
	return plans[0].Plan.looked(), nil
}
