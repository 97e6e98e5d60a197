package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// Subject is who asks, as the policy sees it.
type Subject struct {
	ID     uuid.UUID
	Roles  []Role
	Groups []uuid.UUID // with the group Everyone of each organization
	Scope  Scope
}

// Role is a role with its permissions, expanded into the organizations in which
// the subject has it.
type Role struct {
	Site   []Permission
	User   []Permission
	Orgs   []uuid.UUID // organizations of which Org and Member speak
	Org    []Permission
	Member []Permission
}

// Permission allows an action on a resource type, or denies it.
type Permission struct {
	Negate       bool
	ResourceType string // "*" for all
	Action       string // "*" for all
}

// UnmarshalJSON demands each of the three keys, once, and no other: a permission
// that forgets "negate" must not become a grant.
func (p *Permission) UnmarshalJSON(data []byte) error {
	var (
		negate         *bool
		resource, verb *string
	)
	err := readObject(data, map[string]any{"negate": &negate, "resource_type": &resource, "action": &verb})
	if err != nil {
		return fmt.Errorf("permission: %w", err)
	}
	if negate == nil || resource == nil || verb == nil {
		return errors.New("permission: negate, resource_type and action are all needed")
	}
	*p = Permission{*negate, *resource, *verb}
	return nil
}

// Permissions are the four lists of a role. A list that is left out is empty.
type Permissions struct {
	Site   []Permission `json:"site"`
	User   []Permission `json:"user"`
	Org    []Permission `json:"org"`
	Member []Permission `json:"member"`
}

// UnmarshalJSON refuses unknown lists, which could be a misspelt denial.
func (p *Permissions) UnmarshalJSON(data []byte) error {
	err := readObject(data, map[string]any{"site": &p.Site, "user": &p.User, "org": &p.Org, "member": &p.Member})
	if err != nil {
		return fmt.Errorf("permissions: %w", err)
	}
	return nil
}

// Scope is the limit of a token: a role, and the objects it may touch.
type Scope struct {
	Site      []Permission              `json:"site"`
	User      []Permission              `json:"user"`
	ByOrgID   map[string]OrgPermissions `json:"by_org_id"`
	AllowList []Allowed                 `json:"allow_list"` // empty allows nothing
}

// OrgPermissions are a scope's permissions in one organization.
type OrgPermissions struct {
	Org    []Permission `json:"org"`
	Member []Permission `json:"member"`
}

// Allowed is an entry of an allow list; "*" stands for every type or id.
type Allowed struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// Unlimited is the scope of a token that may do whatever its user may.
func Unlimited() Scope {
	return Scope{
		Site:      []Permission{{ResourceType: "*", Action: "*"}},
		AllowList: []Allowed{{Type: "*", ID: "*"}},
	}
}

// ParseScope reads a stored scope. An unknown key is an error, since it could be
// a misspelt limit.
func ParseScope(data []byte) (Scope, error) {
	var s Scope
	var byOrg json.RawMessage
	err := readObject(data, map[string]any{"site": &s.Site, "user": &s.User, "by_org_id": &byOrg, "allow_list": &s.AllowList})
	if err == nil && byOrg != nil {
		s.ByOrgID = map[string]OrgPermissions{}
		err = eachMember(byOrg, func(id string, value json.RawMessage) error {
			var p OrgPermissions
			if err := readObject(value, map[string]any{"org": &p.Org, "member": &p.Member}); err != nil {
				return fmt.Errorf("organization %s: %w", id, err)
			}
			s.ByOrgID[id] = p
			return nil
		})
	}
	if err != nil {
		return Scope{}, fmt.Errorf("reading a session's scope: %w", err)
	}
	return s, nil
}

// UnmarshalJSON refuses unknown keys.
func (a *Allowed) UnmarshalJSON(data []byte) error {
	if err := readObject(data, map[string]any{"type": &a.Type, "id": &a.ID}); err != nil {
		return fmt.Errorf("allow list: %w", err)
	}
	return nil
}

// readObject reads the members of a JSON object into the fields of their keys,
// and refuses other keys. encoding/json would take NEGATE for negate.
func readObject(data []byte, fields map[string]any) error {
	return eachMember(data, func(key string, value json.RawMessage) error {
		into, ok := fields[key]
		if !ok {
			return fmt.Errorf("unknown key %q", key)
		}
		if err := json.Unmarshal(value, into); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
}

// eachMember visits the members of a JSON object, of which no two may have one
// key. A null has none.
func eachMember(data []byte, visit func(key string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(data))
	start, err := d.Token()
	if err != nil {
		return err
	}
	if start != json.Delim('{') && start != nil {
		return errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for start != nil && d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok || seen[key] {
			return fmt.Errorf("key %v comes twice", token)
		}
		seen[key] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := visit(key, value); err != nil {
			return err
		}
	}
	if start != nil {
		if _, err := d.Token(); err != nil { // the closing brace
			return err
		}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

// Input is the policy's input for reading rows of a resource, but for the row.
func (s Subject) Input() map[string]any {
	return map[string]any{"action": "read", "subject": s.Document()}
}

// Document is the subject as the policy sees it.
func (s Subject) Document() map[string]any {
	roles := make([]any, len(s.Roles))
	for i, r := range s.Roles {
		// Organizations share the lists: there may be a thousand of them.
		of := map[string]any{"org": permissions(r.Org), "member": permissions(r.Member)}
		byOrg := make(map[string]any, len(r.Orgs))
		for _, id := range r.Orgs {
			byOrg[id.String()] = of
		}
		roles[i] = map[string]any{"site": permissions(r.Site), "user": permissions(r.User), "by_org_id": byOrg}
	}
	groups := make([]any, len(s.Groups))
	for i, id := range s.Groups {
		groups[i] = id.String()
	}
	return map[string]any{
		"id":     s.ID.String(),
		"roles":  roles,
		"groups": groups,
		"scope":  s.Scope.input(),
	}
}

func (s Scope) input() map[string]any {
	byOrg := make(map[string]any, len(s.ByOrgID))
	for id, p := range s.ByOrgID {
		byOrg[id] = map[string]any{"org": permissions(p.Org), "member": permissions(p.Member)}
	}
	list := make([]any, len(s.AllowList))
	for i, a := range s.AllowList {
		list[i] = map[string]any{"type": a.Type, "id": a.ID}
	}
	return map[string]any{
		"site":       permissions(s.Site),
		"user":       permissions(s.User),
		"by_org_id":  byOrg,
		"allow_list": list,
	}
}

func permissions(ps []Permission) []any {
	out := make([]any, len(ps))
	for i, p := range ps {
		out[i] = map[string]any{"negate": p.Negate, "resource_type": p.ResourceType, "action": p.Action}
	}
	return out
}
