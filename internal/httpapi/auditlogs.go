package httpapi

import (
	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
)

// auditLogs is what GET /api/v2/audit answers from.
func (s *server) auditLogs() searched[audit.Log] {
	return searched[audit.Log]{
		resource: "audit_log",
		log:      auditquery.AuditLogs(),
		invalid:  "Invalid audit search query.",
		parse:    s.auditParser.parse,
		list:     s.store.AuditLogs,
		count:    s.store.CountAuditLogs,
		place:    func(l audit.Log) auditquery.Place { return auditquery.Place{Time: l.Time, ID: l.ID} },
		answer: func(rows []audit.Log, beside beside) any {
			answer := auditLogsAnswer{AuditLogs: []auditLog{}, beside: beside}
			for _, l := range rows {
				answer.AuditLogs = append(answer.AuditLogs, newAuditLog(l))
			}
			return answer
		},
	}
}
