package audit

import (
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// Resource is what the registry knows of what a log speaks of.
type Resource struct {
	KindName     string // as it stands in a sentence; "" is unknown
	LinkTemplate string
	Icon         string
	Name         string // "" is unknown
	Owner        string // a username; "" is unknown
	Deleted      bool
}

// Describe takes from the registry what the log does not say of its resource.
func (l *Log) Describe(r Resource) {
	l.KindName, l.IsDeleted = r.KindName, r.Deleted
	if l.ResourceIcon == "" {
		l.ResourceIcon = r.Icon
	}
	if l.ResourceLink != "" || r.Deleted || l.ResourceID == uuid.Nil {
		return
	}
	values := map[string]string{"id": l.ResourceID.String(), "name": r.Name, "owner": r.Owner}
	if r.Name == "" {
		values["name"] = l.ResourceTarget
	}
	if l.Organization != nil {
		values["organization"] = l.Organization.Name
	}
	l.ResourceLink = link(r.LinkTemplate, values)
}

// link is the template with the values in the place of their names in braces, or ""
// if one has no value.
func link(template string, values map[string]string) string {
	var b strings.Builder
	escape := url.PathEscape
	for template != "" {
		before, rest, found := strings.Cut(template, "{")
		if strings.Contains(before, "?") {
			escape = url.QueryEscape
		}
		b.WriteString(before)
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || values[name] == "" {
			return ""
		}
		b.WriteString(escape(values[name]))
		template = after
	}
	return b.String()
}
