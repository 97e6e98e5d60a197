package audit

import (
	"net/http"
	"strings"
)

// irregular has the actions whose past is not themselves with an -ed.
var irregular = map[string]string{
	"read":                   "read",
	"write":                  "updated",
	"stop":                   "stopped",
	"login":                  "logged in",
	"logout":                 "logged out",
	"request_password_reset": "password reset requested",
}

// Description is a sentence on the row, with {user} and {target} for the page to
// fill in.
func (l Log) Description() string {
	var b strings.Builder
	// A password reset is asked for by whoever knows the address, which need not
	// be the user.
	reset := l.Action == "request_password_reset"
	if !reset {
		b.WriteString("{user} ")
	}
	switch {
	case l.StatusCode == http.StatusSeeOther:
		b.WriteString("was redirected attempting to " + words(l.Action))
	case l.StatusCode >= http.StatusBadRequest:
		b.WriteString("unsuccessfully attempted to " + words(l.Action))
	default:
		b.WriteString(past(l.Action))
	}
	switch {
	case l.Action == "login", l.Action == "logout", l.Action == "register" && l.ResourceType == "api_key":
		return b.String()
	case reset:
		b.WriteString(" for")
	default:
		b.WriteString(" the " + l.resourceName())
	}
	// The name of an SSH key is long and says nothing.
	if l.ResourceType != "git_ssh_key" {
		b.WriteString(" {target}")
	}
	return b.String()
}

func past(action string) string {
	if p, ok := irregular[action]; ok {
		return p
	}
	if strings.HasSuffix(action, "e") {
		return words(action) + "d"
	}
	return words(action) + "ed"
}

func (l Log) resourceName() string {
	if l.KindName != "" {
		return l.KindName
	}
	return words(l.ResourceType)
}

func words(name string) string { return strings.ReplaceAll(name, "_", " ") }
