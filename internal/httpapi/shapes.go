package httpapi

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/internal/audit"
)

// auditLogsAnswer is the answer of GET /api/v2/audit.
type auditLogsAnswer struct {
	AuditLogs []auditLog `json:"audit_logs"`
	beside
}

// auditLog is a row of the audit log. Ids that it does not have are the zero
// UUID, as clients expect.
type auditLog struct {
	ID               uuid.UUID       `json:"id"`
	RequestID        uuid.UUID       `json:"request_id"`
	Time             time.Time       `json:"time"`
	OrganizationID   uuid.UUID       `json:"organization_id"`
	Organization     *organization   `json:"organization,omitempty"`
	IP               string          `json:"ip"`
	UserAgent        string          `json:"user_agent"`
	ResourceType     string          `json:"resource_type"`
	ResourceID       uuid.UUID       `json:"resource_id"`
	ResourceTarget   string          `json:"resource_target"`
	ResourceIcon     string          `json:"resource_icon"`
	ResourceLink     string          `json:"resource_link"`
	IsDeleted        bool            `json:"is_deleted"`
	Action           string          `json:"action"`
	Diff             audit.Diff      `json:"diff"`
	StatusCode       int             `json:"status_code"`
	AdditionalFields json.RawMessage `json:"additional_fields"`
	Description      string          `json:"description"`
	User             *user           `json:"user"`
}

type organization struct {
	ID          uuid.UUID `json:"id"`
	Name        string    `json:"name"`
	DisplayName string    `json:"display_name"`
	Icon        string    `json:"icon"`
}

type user struct {
	ID              uuid.UUID   `json:"id"`
	Username        string      `json:"username"`
	Name            string      `json:"name"`
	Email           string      `json:"email"`
	AvatarURL       string      `json:"avatar_url"`
	CreatedAt       time.Time   `json:"created_at"`
	UpdatedAt       time.Time   `json:"updated_at"`
	LastSeenAt      time.Time   `json:"last_seen_at"`
	Status          string      `json:"status"`
	LoginType       string      `json:"login_type"`
	ThemePreference string      `json:"theme_preference"`
	OrganizationIDs []uuid.UUID `json:"organization_ids"`
	Roles           []role      `json:"roles"`
}

// role is a role of the site, whose organization is "".
type role struct {
	Name           string `json:"name"`
	DisplayName    string `json:"display_name"`
	OrganizationID string `json:"organization_id"`
}

func newAuditLog(l audit.Log) auditLog {
	out := auditLog{
		ID:               l.ID,
		RequestID:        l.RequestID,
		Time:             l.Time,
		OrganizationID:   l.OrganizationID,
		IP:               address(l.IP),
		UserAgent:        l.UserAgent,
		ResourceType:     l.ResourceType,
		ResourceID:       l.ResourceID,
		ResourceTarget:   l.ResourceTarget,
		ResourceIcon:     l.ResourceIcon,
		ResourceLink:     l.ResourceLink,
		IsDeleted:        l.IsDeleted,
		Action:           l.Action,
		Diff:             l.Diff,
		StatusCode:       l.StatusCode,
		AdditionalFields: l.AdditionalFields,
		Description:      l.Description(),
	}
	if o := l.Organization; o != nil {
		joined := organization(*o)
		out.Organization = &joined
	}
	if u := l.User; u != nil {
		out.User = newUser(*u)
	}
	return out
}

func newUser(u audit.User) *user {
	out := &user{
		ID:              u.ID,
		Username:        u.Username,
		Name:            u.Name,
		Email:           u.Email,
		AvatarURL:       u.AvatarURL,
		CreatedAt:       u.CreatedAt,
		UpdatedAt:       u.UpdatedAt,
		LastSeenAt:      u.LastSeenAt,
		Status:          u.Status,
		LoginType:       u.LoginType,
		ThemePreference: u.ThemePreference,
		OrganizationIDs: append([]uuid.UUID{}, u.OrganizationIDs...),
		Roles:           []role{},
	}
	for _, r := range u.Roles {
		out.Roles = append(out.Roles, role{Name: r.Name, DisplayName: r.DisplayName})
	}
	return out
}

// address is the address without the mask of a single host; "" if there is none.
func address(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return ""
	case p.IsSingleIP():
		return p.Addr().String()
	default:
		return p.String()
	}
}
