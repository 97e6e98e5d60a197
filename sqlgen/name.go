package sqlgen

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxNameBytes is PostgreSQL's NAMEDATALEN - 1: a longer name would be cut, and
// could then name something else.
const maxNameBytes = 63

// CheckName reports why s can't name a table, column or type. A name may be
// qualified with a schema (audit.logs) and hold any characters but NUL and
// quotes; one that is no plain lower-case identifier is quoted when rendered.
func CheckName(s string) error {
	for part := range strings.SplitSeq(s, ".") {
		switch {
		case part == "":
			return fmt.Errorf("bad name %q: an empty part", s)
		case len(part) > maxNameBytes:
			return fmt.Errorf("bad name %q: longer than PostgreSQL's %d bytes", s, maxNameBytes)
		case !utf8.ValidString(part):
			return fmt.Errorf("bad name %q: not UTF-8", s)
		case strings.ContainsAny(part, "\x00\"'`;\\\n\r"):
			return fmt.Errorf("bad name %q: quotes, semicolons, backslashes and line breaks are not allowed", s)
		}
	}
	return nil
}

// QuoteName is a possibly qualified name as SQL has it, quoted where it must be.
func QuoteName(s string) string { return quoteName(s) }

// quoteName renders a possibly qualified name, quoted where SQL demands it.
func quoteName(s string) string {
	if plainName(s) {
		return s
	}
	var b strings.Builder
	for i, part := range strings.Split(s, ".") {
		if i > 0 {
			b.WriteByte('.')
		}
		if plainName(part) {
			b.WriteString(part)
			continue
		}
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(part, `"`, `""`))
		b.WriteByte('"')
	}
	return b.String()
}

func plainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return !keywords[s]
}

// keywords are PostgreSQL's reserved words and those that can't name a column or
// function without quotes (appendix C of its manual).
var keywords = func() map[string]bool {
	words := `all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
	case cast char character check coalesce collate collation column concurrently constraint create cross
	current_catalog current_date current_role current_schema current_time current_timestamp current_user dec decimal
	default deferrable desc distinct do else end except exists extract false fetch float for foreign freeze from full
	grant greatest group grouping having ilike in initially inner inout int integer intersect interval into is isnull
	join json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize
	json_table json_value lateral leading least left like limit localtime localtimestamp merge_action national natural
	nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay placing
	position precision primary real references returning right row select session_user setof similar smallint some
	substring symmetric system_user table tablesample then time timestamp to trailing treat trim true union unique user
	using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest
	xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable`
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}()
