// Package policies holds the bundled role-based policy (organizations, roles,
// token scopes and ACLs) and the schemas of the resources that it guards.
//
// The policy answers "may input.subject take input.action on input.object". It
// is written for partial evaluation with the object's columns unknown: what
// remains are membership tests of a column in a set that the subject decides.
package policies

import "embed"

// Entrypoint is the rule of the policy that decides. It is true or undefined;
// undefined means denied.
const Entrypoint = "data.authz.allow"

// FS holds authz.rego, the policy without its tests.
//
//go:embed authz.rego
var FS embed.FS

//go:embed schema.yaml
var schema string

// Schema returns the YAML schema file that maps the resources audit_log,
// connection_log and document to their tables. The caller owns the result.
func Schema() []byte { return []byte(schema) }
