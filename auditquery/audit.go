package auditquery

import (
	"slices"

	"github.com/rowfence/rowfence/sqlgen"
)

// The columns of audit_logs that a search can speak of. A NULL user or
// organization is none.
var (
	logTime        = sqlgen.Column{Name: "time", Type: sqlgen.Type{Kind: sqlgen.KindTimestamptz}, NotNull: true}
	userID         = sqlgen.Column{Name: "user_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}
	organizationID = sqlgen.Column{Name: "organization_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}
	resourceType   = sqlgen.Column{Name: "resource_type", Type: sqlgen.Type{Kind: sqlgen.KindText}, NotNull: true}
	resourceID     = sqlgen.Column{Name: "resource_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}
	resourceTarget = sqlgen.Column{Name: "resource_target", Type: sqlgen.Type{Kind: sqlgen.KindText}, NotNull: true}
	action         = sqlgen.Column{Name: "action", Type: sqlgen.Type{Kind: sqlgen.KindText}, NotNull: true}
	statusCode     = sqlgen.Column{Name: "status_code", Type: sqlgen.Type{Kind: sqlgen.KindInt}, NotNull: true}
	requestID      = sqlgen.Column{Name: "request_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}
	clientIP       = sqlgen.Column{Name: "ip", Type: sqlgen.Type{Kind: sqlgen.KindInet}}
	buildReason    = sqlgen.Column{Name: "build_reason", Type: sqlgen.Type{Kind: sqlgen.KindText}}
)

// ResourceTypes are the built-in values of resource_type.
var ResourceTypes = []string{
	"api_key", "audit_log", "connection_log", "convert_login", "custom_role", "document", "git_ssh_key", "group",
	"health_settings", "idp_sync_settings_group", "idp_sync_settings_organization", "idp_sync_settings_role", "license",
	"notification_template", "notifications_settings", "oauth2_provider_app", "oauth2_provider_app_secret",
	"organization", "organization_member", "prebuilds_settings", "task", "template", "template_version", "user",
	"workspace", "workspace_agent", "workspace_app", "workspace_build", "workspace_proxy",
}

// Actions are the known values of action.
var Actions = []string{
	"close", "connect", "create", "delete", "disconnect", "login", "logout", "open", "read", "register",
	"request_password_reset", "start", "stop", "update", "write",
}

// BuildReasons are the known values of build_reason.
var BuildReasons = []string{
	"autodelete", "autostart", "autostop", "cli", "dashboard", "dormancy", "failedstop", "initiator",
	"jetbrains_connection", "ssh_connection", "vscode_connection",
}

var auditLanguage = newAuditLanguage(ResourceTypes)

// AuditParser reads searches of [AuditLogs] where there are other resource types than
// the built-in ones. The zero AuditParser knows those.
type AuditParser struct{ language *language }

// NewAuditParser knows the built-in resource types and these, which are in lower case.
func NewAuditParser(kinds []string) AuditParser {
	all := slices.Concat(ResourceTypes, kinds)
	slices.Sort(all)
	return AuditParser{newAuditLanguage(slices.Compact(all))}
}

// Parse is [ParseAudit] with the parser's resource types.
func (p AuditParser) Parse(q string) (Search, error) {
	if p.language == nil {
		return auditLanguage.parse(q)
	}
	return p.language.parse(q)
}

// Conditions are written in this order: first those that an index can serve.
func newAuditLanguage(kinds []string) *language {
	return newLanguage("resource_type", kinds,
		&key{name: "organization", column: organizationID, read: readOrganization},
		&key{name: "username", column: userID, read: readUsername},
		&key{name: "email", column: userID, read: readEmail},
		&key{name: "resource_id", column: resourceID, read: readID},
		&key{name: "request_id", column: requestID, read: readID},
		&key{name: "resource_type", column: resourceType, read: oneOf(kinds)},
		&key{name: "resource_target", column: resourceTarget, read: readExact},
		&key{name: "action", column: action, read: oneOf(Actions)},
		&key{name: "build_reason", column: buildReason, read: oneOf(BuildReasons)},
		&key{name: "status_code", column: statusCode, read: readNumber},
		&key{name: "ip", column: clientIP, read: readNetwork},
		&key{name: "date_from", column: logTime, read: readFrom},
		&key{name: "date_to", column: logTime, read: readTo},
		&key{name: "since", column: logTime, read: readSince},
		&key{column: resourceTarget, read: readText(&auditText), find: findText, every: true},
	)
}

// auditIndexes are the columns that lead an index of audit_logs.
var auditIndexes = map[string]bool{
	"id": true, "user_id": true, "resource_type": true, "resource_id": true, "resource_target": true, "action": true,
	"build_reason": true, "request_id": true, "ip": true,
}

// auditIndexesBehind are the columns that have one behind the organization, too: of some
// each value has few of an organization's rows.
var auditIndexesBehind = map[string]bool{"resource_type": false, "action": false, "user_id": true, "resource_id": true}

// auditText is the target and the acting user's name.
var auditText = words{log: "audit_logs", users: []sqlgen.Column{userID}}
