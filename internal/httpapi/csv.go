package httpapi

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// A column of a CSV file of rows of a shape. Its name is the path of the value in
// the row's JSON.
type column[Shape any] struct {
	name string
	cell func(Shape) string
}

// auditColumns are those of the audit log.
var auditColumns = append([]column[auditLog]{
	{"id", func(l auditLog) string { return l.ID.String() }},
	{"time", func(l auditLog) string { return instant(l.Time) }},
	{"request_id", func(l auditLog) string { return l.RequestID.String() }},
	{"organization_id", func(l auditLog) string { return l.OrganizationID.String() }},
	{"organization.name", func(l auditLog) string { return l.organization().Name }},
	{"organization.display_name", func(l auditLog) string { return l.organization().DisplayName }},
	{"organization.icon", func(l auditLog) string { return l.organization().Icon }},
	{"ip", func(l auditLog) string { return l.IP }},
	{"user_agent", func(l auditLog) string { return l.UserAgent }},
	{"resource_type", func(l auditLog) string { return l.ResourceType }},
	{"resource_id", func(l auditLog) string { return l.ResourceID.String() }},
	{"resource_target", func(l auditLog) string { return l.ResourceTarget }},
	{"resource_icon", func(l auditLog) string { return l.ResourceIcon }},
	{"resource_link", func(l auditLog) string { return l.ResourceLink }},
	{"is_deleted", func(l auditLog) string { return strconv.FormatBool(l.IsDeleted) }},
	{"action", func(l auditLog) string { return l.Action }},
	{"diff", func(l auditLog) string { return jsonText(l.Diff) }},
	{"status_code", func(l auditLog) string { return strconv.Itoa(l.StatusCode) }},
	{"additional_fields", func(l auditLog) string { return string(l.AdditionalFields) }},
	{"description", func(l auditLog) string { return l.Description }},
}, userColumns("user", func(l auditLog) *user { return l.User })...)

// connectionColumns are those of the connection log. A connection over the web has
// no values in the columns of a session, and the contrary.
var connectionColumns = append([]column[connectionLog]{
	{"id", func(l connectionLog) string { return l.ID.String() }},
	{"connect_time", func(l connectionLog) string { return instant(l.ConnectTime) }},
	{"organization.id", func(l connectionLog) string { return l.Organization.ID.String() }},
	{"organization.name", func(l connectionLog) string { return l.Organization.Name }},
	{"organization.display_name", func(l connectionLog) string { return l.Organization.DisplayName }},
	{"organization.icon", func(l connectionLog) string { return l.Organization.Icon }},
	{"workspace_owner_id", func(l connectionLog) string { return l.OwnerID.String() }},
	{"workspace_owner_username", func(l connectionLog) string { return l.OwnerUsername }},
	{"workspace_id", func(l connectionLog) string { return l.WorkspaceID.String() }},
	{"workspace_name", func(l connectionLog) string { return l.WorkspaceName }},
	{"agent_name", func(l connectionLog) string { return l.AgentName }},
	{"ip", func(l connectionLog) string { return l.IP }},
	{"type", func(l connectionLog) string { return l.Type }},
	{"ssh_info.connection_id", ofSession(func(i sessionInfo) string { return i.ConnectionID.String() })},
	{"ssh_info.disconnect_time", ofSession(func(i sessionInfo) string {
		if i.DisconnectTime == nil {
			return ""
		}
		return instant(*i.DisconnectTime)
	})},
	{"ssh_info.disconnect_reason", ofSession(func(i sessionInfo) string { return i.DisconnectReason })},
	{"ssh_info.exit_code", ofSession(func(i sessionInfo) string {
		if i.ExitCode == nil {
			return ""
		}
		return strconv.Itoa(*i.ExitCode)
	})},
	{"web_info.user_agent", ofWeb(func(i webInfo) string { return i.UserAgent })},
	{"web_info.slug_or_port", ofWeb(func(i webInfo) string { return i.SlugOrPort })},
	{"web_info.status_code", ofWeb(func(i webInfo) string { return strconv.Itoa(i.StatusCode) })},
}, userColumns("web_info.user", func(l connectionLog) *user {
	if l.WebInfo == nil {
		return nil
	}
	return l.WebInfo.User
})...)

func (l auditLog) organization() organization {
	if l.Organization == nil {
		return organization{}
	}
	return *l.Organization
}

func ofSession(cell func(sessionInfo) string) func(connectionLog) string {
	return func(l connectionLog) string {
		if l.SessionInfo == nil {
			return ""
		}
		return cell(*l.SessionInfo)
	}
}

func ofWeb(cell func(webInfo) string) func(connectionLog) string {
	return func(l connectionLog) string {
		if l.WebInfo == nil {
			return ""
		}
		return cell(*l.WebInfo)
	}
}

// userColumns are empty where there is no user.
func userColumns[Shape any](path string, of func(Shape) *user) []column[Shape] {
	var out []column[Shape]
	for _, c := range []column[user]{
		{"id", func(u user) string { return u.ID.String() }},
		{"username", func(u user) string { return u.Username }},
		{"name", func(u user) string { return u.Name }},
		{"email", func(u user) string { return u.Email }},
		{"avatar_url", func(u user) string { return u.AvatarURL }},
		{"created_at", func(u user) string { return instant(u.CreatedAt) }},
		{"updated_at", func(u user) string { return instant(u.UpdatedAt) }},
		{"last_seen_at", func(u user) string { return instant(u.LastSeenAt) }},
		{"status", func(u user) string { return u.Status }},
		{"login_type", func(u user) string { return u.LoginType }},
		{"theme_preference", func(u user) string { return u.ThemePreference }},
		{"organization_ids", func(u user) string { return spaced(u.OrganizationIDs) }},
		{"roles", func(u user) string { return jsonText(u.Roles) }},
	} {
		out = append(out, column[Shape]{path + "." + c.name, func(row Shape) string {
			if u := of(row); u != nil {
				return c.cell(*u)
			}
			return ""
		}})
	}
	return out
}

func instant(t time.Time) string { return t.Format(time.RFC3339Nano) }

func spaced(ids []uuid.UUID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return strings.Join(texts, " ")
}

// jsonText is the JSON of the server's own shapes, all of which have one.
func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// appendRecord appends a line of a CSV file (RFC 4180). Each cell stands in quotes,
// so that none is torn apart by a program that takes another character for the
// separator, and begins a new one with what follows.
func appendRecord(line []byte, cells int, cell func(int) string) []byte {
	for i := range cells {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, '"')
		text := cell(i)
		if runs(text) {
			line = append(line, '\'')
		}
		line = append(line, strings.ReplaceAll(text, `"`, `""`)...)
		line = append(line, '"')
	}
	return append(line, '\r', '\n')
}

// runs reports whether a spreadsheet would take the text of a cell for a formula,
// also one that trims it or takes off its quotes. What is a number is one.
func runs(text string) bool {
	rest := strings.TrimLeftFunc(text, passedOver)
	if rest == "" {
		return false
	}
	first, _ := utf8.DecodeRuneInString(rest)
	if strings.ContainsRune("=@\t\r\n＝＋－＠﹦﹢﹣﹫", first) {
		return true
	}
	if rest[0] != '+' && rest[0] != '-' {
		return false
	}
	_, err := strconv.ParseInt(text, 10, 64)
	return err != nil || rest[0] == '+'
}

// passedOver reports whether a program may take what follows the character for the
// beginning of a cell: it is white, or not to be seen, or a quote.
func passedOver(r rune) bool {
	switch r {
	case '\t', '\r', '\n':
		return false
	case '"', '\'':
		return true
	}
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}
