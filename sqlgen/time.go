package sqlgen

import "strings"

// Functions of timestamps, seen in UTC. Those that compute a date are NULL outside of
// the years that fit 64 bits of nanoseconds, which keeps them from failing. An infinite
// timestamp has no date: it may give NULL.
var (
	Year   = timeField("year", "extract(year FROM $1 AT TIME ZONE 'UTC')")
	Month  = timeField("month", "extract(month FROM $1 AT TIME ZONE 'UTC')")
	Day    = timeField("day", "extract(day FROM $1 AT TIME ZONE 'UTC')")
	Hour   = timeField("hour", "extract(hour FROM $1 AT TIME ZONE 'UTC')")
	Minute = timeField("minute", "extract(minute FROM $1 AT TIME ZONE 'UTC')")
	Second = timeField("second", "floor(extract(second FROM $1 AT TIME ZONE 'UTC'))")

	// Weekday is the English name of the day.
	Weekday = &Function{name: "weekday", template: "to_char($1 AT TIME ZONE 'UTC', 'FMDay')", result: Type{Kind: KindText}}

	// TimeFormat is a timestamp in a format of to_char.
	TimeFormat = &Function{name: "time-format", template: "to_char($1 AT TIME ZONE 'UTC', $2)", result: Type{Kind: KindText}}

	// AddDate is a timestamp some months (the second argument) and days later, as
	// Go's AddDate counts: the 31st of a month of 30 days is the first of the next.
	AddDate = &Function{
		name: "add-date",
		template: strings.ReplaceAll("CASE WHEN $1 BETWEEN "+firstYear+" AND "+lastYear+" THEN "+
			"(date_trunc('month', LOCAL) + $2 * interval '1 month' + (LOCAL - date_trunc('month', LOCAL)) + $3 * interval '1 day') AT TIME ZONE 'UTC' END",
			"LOCAL", "$1 AT TIME ZONE 'UTC'"),
		result: Type{Kind: KindTimestamptz},
		nulls:  sometimes,
	}

	// Midnight is the beginning of a date.
	Midnight = &Function{
		name:     "midnight",
		template: "CASE WHEN $1 BETWEEN '1677-01-01' AND '2263-01-01' THEN $1::timestamp AT TIME ZONE 'UTC' END",
		result:   Type{Kind: KindTimestamptz},
		nulls:    sometimes,
	}

	// SecondOf is the second that holds a whole number of nanoseconds since 1970.
	SecondOf = &Function{
		name:     "second-of",
		template: "to_timestamp((CASE WHEN $1 BETWEEN -9223372036854775808 AND 9223372036854775807 THEN floor($1 * 0.000000001) END)::double precision)",
		result:   Type{Kind: KindTimestamptz},
		nulls:    sometimes,
	}
)

const (
	firstYear = "'1677-01-01T00:00:00Z'"
	lastYear  = "'2263-01-01T00:00:00Z'"
)

func timeField(name, template string) *Function {
	return &Function{name: name, template: template, result: Type{Kind: KindNumeric}}
}

// TimeDiff are the parts of the time between two timestamps, in years, months, days,
// hours, minutes and seconds: the difference of each part of the dates and clocks,
// where a part below 0 takes one of the part before it. A month taken has the days of
// the earlier timestamp's.
var TimeDiff = [...]*Function{
	timeDiff("years", "div(MONTHS, 12)"),
	timeDiff("months", "mod(MONTHS, 12)"),
	timeDiff("days", "DAYS + CASE WHEN DAYS < 0 THEN extract(day FROM date_trunc('month', EARLIER) + interval '1 month' - interval '1 day') ELSE 0 END"),
	timeDiff("hours", "div(CLOCK, 3600)"),
	timeDiff("minutes", "div(mod(CLOCK, 3600), 60)"),
	timeDiff("seconds", "mod(CLOCK, 60)"),
}

func timeDiff(name, part string) *Function {
	r := strings.NewReplacer(
		"MONTHS", "((extract(year FROM LATER) - extract(year FROM EARLIER)) * 12 + extract(month FROM LATER) - extract(month FROM EARLIER) - (DAYS < 0)::int)",
		"CLOCK", "mod(extract(epoch FROM LATER) - extract(epoch FROM EARLIER), 86400)",
	)
	part = r.Replace(part)
	part = strings.ReplaceAll(part, "DAYS", "(extract(day FROM LATER) - extract(day FROM EARLIER) - ((LATER)::time < (EARLIER)::time)::int)")
	part = strings.NewReplacer(
		"EARLIER", "date_trunc('second', least($1, $2) AT TIME ZONE 'UTC')",
		"LATER", "date_trunc('second', greatest($1, $2) AT TIME ZONE 'UTC')",
	).Replace(part)
	f := timeField("diff-"+name, "CASE WHEN least($1, $2) >= "+firstYear+" AND greatest($1, $2) <= "+lastYear+" THEN "+part+" END")
	f.nulls = sometimes
	return f
}
