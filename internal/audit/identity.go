// Package audit is the server's domain: who asks, and the logs that are asked
// for. It knows no HTTP and no SQL.
package audit

import (
	"time"

	"github.com/google/uuid"
)

// User is a user as a log's row shows it.
type User struct {
	ID              uuid.UUID
	Username        string
	Name            string
	Email           string
	AvatarURL       string
	CreatedAt       time.Time
	UpdatedAt       time.Time
	LastSeenAt      time.Time // the year 1 if never
	Status          string    // active, dormant or suspended
	LoginType       string
	ThemePreference string
	OrganizationIDs []uuid.UUID // ordered
	Roles           []RoleName  // the site roles, in the user's order
}

// RoleName names a role for people.
type RoleName struct {
	Name        string
	DisplayName string
}

// Organization is an organization as a log's row shows it.
type Organization struct {
	ID          uuid.UUID
	Name        string
	DisplayName string
	Icon        string
}
