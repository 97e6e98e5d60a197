package sqlgen

var (
	textType = Type{Kind: KindText}
	intType  = Type{Kind: KindInt}
	boolType = Type{Kind: KindBool}
)

// The functions of texts. PostgreSQL counts characters where the policy counts runes,
// which is the same in a database of the encoding UTF8.
var (
	// LowerASCII and UpperASCII map the letters A-Z and no others: "C" is the one
	// collation that maps the same everywhere.
	LowerASCII = &Function{name: "lower", template: `lower($1 COLLATE "C")`, result: textType, byBytes: true}
	UpperASCII = &Function{name: "upper", template: `upper($1 COLLATE "C")`, result: textType, byBytes: true}

	// Lower and Upper map other letters as well: each character of the text $2 to the
	// one at its place in $3.
	Lower = &Function{name: "lower", template: `lower(translate($1, $2, $3) COLLATE "C")`, result: textType, byBytes: true}
	Upper = &Function{name: "upper", template: `upper(translate($1, $2, $3) COLLATE "C")`, result: textType, byBytes: true}

	// LowerAll and UpperAll are the same with a $2 so long that it takes PostgreSQL
	// some microseconds a character to look through: a text of ASCII is spared that.
	LowerAll = &Function{name: "lower", result: textType, byBytes: true,
		template: `CASE WHEN octet_length($1) = char_length($1) THEN lower($1 COLLATE "C") ELSE lower(translate($1, $2, $3) COLLATE "C") END`}
	UpperAll = &Function{name: "upper", result: textType, byBytes: true,
		template: `CASE WHEN octet_length($1) = char_length($1) THEN upper($1 COLLATE "C") ELSE upper(translate($1, $2, $3) COLLATE "C") END`}

	// Trim, TrimLeft and TrimRight drop the characters of $2 from the ends of $1.
	Trim      = &Function{name: "trim", template: "btrim($1, $2)", result: textType}
	TrimLeft  = &Function{name: "trim-left", template: "ltrim($1, $2)", result: textType}
	TrimRight = &Function{name: "trim-right", template: "rtrim($1, $2)", result: textType}

	// TrimPrefix and TrimSuffix drop the text $2 from an end of $1, once.
	TrimPrefix = &Function{name: "trim-prefix", result: textType,
		template: "CASE WHEN starts_with($1, $2) THEN substr($1, char_length($2) + 1) ELSE $1 END"}
	TrimSuffix = &Function{name: "trim-suffix", result: textType,
		template: "CASE WHEN right($1, char_length($2)) = $2 THEN left($1, char_length($1) - char_length($2)) ELSE $1 END"}

	// Replace puts $3 in the place of each $2, which is not empty.
	Replace = &Function{name: "replace", template: "replace($1, $2, $3)", result: textType}
	// Translate maps each character of $2 to the one at its place in $3, or to none.
	Translate = &Function{name: "translate", template: "translate($1, $2, $3)", result: textType}
	// Reverse is the text from its end to its start.
	Reverse = &Function{name: "reverse", template: "reverse($1)", result: textType}

	// Substring is $1 from its character $2 on, counted from 1; SubstringOf at most $3
	// characters of it. See [Place] and [Span] for numbers that the row says.
	Substring   = &Function{name: "substring", template: "substr($1, $2::int)", result: textType}
	SubstringOf = &Function{name: "substring", template: "substr($1, $2::int, $3::int)", result: textType}
	// Place is a place in a text counted from 0 as one that is counted from 1.
	Place = &Function{name: "place", template: "(LEAST(GREATEST($1, 0), 1073741822) + 1)", result: intType}
	// Span is a number of characters, of which a negative one means all.
	Span = &Function{name: "span", template: "CASE WHEN $1 < 0 THEN 1073741823 ELSE LEAST($1, 1073741823) END", result: intType}

	// IndexOf is the place of $2 in $1 counted from 0, and -1 where there is none.
	IndexOf = &Function{name: "index-of", template: "(strpos($1, $2) - 1)", result: intType}
	// Occurrences is how often $2, which is not empty, stands in $1, one behind the
	// other. OccurrencesOfCharacter is that of a text of one character.
	Occurrences = &Function{name: "occurrences", result: intType,
		template: "((char_length($1) - char_length(replace($1, $2, ''))) / GREATEST(char_length($2), 1))"}
	OccurrencesOfCharacter = &Function{name: "occurrences", result: intType,
		template: "(char_length($1) - char_length(replace($1, $2, '')))"}
	// Gaps is the number of places in a text: before each character and at the end.
	Gaps = &Function{name: "gaps", template: "(char_length($1) + 1)", result: intType}

	// Split is the parts of $1 between the texts $2, of which there is one at least.
	Split = &Function{name: "split", result: textType.ArrayOf(),
		template: `CASE WHEN $1 = '' THEN '{""}' ELSE string_to_array($1, $2) END`}
	// SplitAny is [Split] where $2 may be empty, which stands between all characters.
	SplitAny = &Function{name: "split", result: textType.ArrayOf(), nulls: sometimes,
		template: `CASE WHEN $1 = '' AND $2 <> '' THEN '{""}' ELSE string_to_array($1, NULLIF($2, '')) END`}
	// Characters is the characters of a text.
	Characters = &Function{name: "characters", template: "string_to_array($1, NULL)", result: textType.ArrayOf()}
	// SplitPart is the part $3 of [Split], counted from 1; empty where there is none.
	SplitPart = &Function{name: "split-part", template: "split_part($1, $2, $3::int)", result: textType}

	// Concat is the arguments one behind the other.
	Concat = &Function{name: "concat", between: " || ", result: textType}
	// Joined is the elements of the array $1 with $2 between them. It skips those that
	// are NULL.
	Joined = &Function{name: "joined", template: "array_to_string($1, $2)", result: textType}

	// TextsOfJSON is the elements of a jsonb array of strings; NULL of anything else.
	TextsOfJSON = &Function{name: "texts", result: textType.ArrayOf(), nulls: sometimes,
		template: `CASE WHEN jsonb_typeof($1) = 'array' AND NOT EXISTS (` +
			`SELECT FROM jsonb_array_elements(CASE jsonb_typeof($1) WHEN 'array' THEN $1 ELSE '[]' END) AS part(value) WHERE jsonb_typeof(part.value) <> 'string') ` +
			`THEN ARRAY(SELECT jsonb_array_elements_text(CASE jsonb_typeof($1) WHEN 'array' THEN $1 ELSE '[]' END)) END`}

	// Hex is an int to the base 16. PostgreSQL would show the two's complement of one
	// below zero; the least int has no positive.
	Hex = &Function{name: "hex", result: textType,
		template: "CASE WHEN $1 >= 0 THEN to_hex($1::bigint) WHEN $1 > -9223372036854775808 THEN '-' || to_hex(0 - $1::bigint) ELSE '-8000000000000000' END"}

	// MatchesRegex is whether $1 matches the advanced regular expression $2.
	MatchesRegex = &Function{name: "regex", template: "$1 ~ $2", result: boolType}
)
