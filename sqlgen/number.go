package sqlgen

// Functions of numbers. Those of two numbers take numerics, which do not overflow
// where the caller bounds their digits; [ToNumeric] makes one of any number.
var (
	Plus  = &Function{name: "plus", template: "$1 + $2", result: Type{Kind: KindNumeric}}
	Minus = &Function{name: "minus", template: "$1 - $2", result: Type{Kind: KindNumeric}}
	Times = &Function{name: "times", template: "$1 * $2", result: Type{Kind: KindNumeric}}

	// Abs is a numeric without its sign.
	Abs = &Function{name: "abs", template: "abs($1)", result: Type{Kind: KindNumeric}}
	// Sign is -1, 0 or 1.
	Sign = &Function{name: "sign", template: "sign($1)", result: Type{Kind: KindNumeric}, doubles: true}
	// Trunc is a numeric without its fraction.
	Trunc = &Function{name: "trunc", template: "trunc($1)", result: Type{Kind: KindNumeric}, doubles: true}

	// Rem is the remainder of a division, with the sign of its first argument. The
	// second is a literal that is not 0.
	Rem = &Function{name: "rem", template: "$1 % $2"}
	// RemOrNull is [Rem] by any number; NULL by 0.
	RemOrNull = &Function{name: "rem-or-null", template: "$1 % NULLIF($2, 0)", nulls: sometimes}

	// JSONNumber is the number that a jsonb value is; NULL of any other.
	JSONNumber = &Function{
		name:     "json-number",
		template: "CASE jsonb_typeof($1) WHEN 'number' THEN ($1)::numeric END",
		result:   Type{Kind: KindNumeric},
		nulls:    sometimes,
	}
)
