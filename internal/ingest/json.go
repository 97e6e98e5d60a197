package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
)

const (
	maxDepth       = 64
	maxNumberBytes = 400 // the longest text of a float64 has fewer
	maxExponent    = 400
)

// A member is a key of a JSON object with its value.
type member struct {
	key   string
	value json.RawMessage
}

// members are those of a JSON object, in its order. The text must be valid JSON.
func members(object json.RawMessage) []member {
	var out []member
	i := skip(object, 0) + 1 // the brace
	for i = skip(object, i); object[i] != '}'; i = skip(object, i) {
		if object[i] == ',' {
			i = skip(object, i+1)
		}
		end := value(object, i)
		key := unquote(object[i:end])
		i = skip(object, skip(object, end)+1) // the colon
		end = value(object, i)
		out = append(out, member{key, object[i:end:end]})
		i = end
	}
	return out
}

// unquote is the text of a valid JSON string, of which few have escapes.
func unquote(s json.RawMessage) (text string) {
	if bytes.IndexByte(s, '\\') < 0 {
		return string(s[1 : len(s)-1])
	}
	_ = json.Unmarshal(s, &text) // it is valid
	return text
}

// kind is the JSON type of a valid value.
func kind(v json.RawMessage) string {
	switch v[skip(v, 0)] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// skip is the place of the first byte from i on that is no space.
func skip(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// value is the end of the valid value that begins at i.
func value(text []byte, i int) int {
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
			if depth < 0 { // a scalar before it ended
				return i
			}
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}

// stringEnd is the end of the string whose quote is at i.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// storable says what of a valid JSON value PostgreSQL can't store as it is: NUL and
// half of a surrogate pair in a string, numbers that it would write out with as many
// digits as their exponent says, and what is nested beyond reason.
func storable(text json.RawMessage) error {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			end := stringEnd(text, i)
			if err := storableString(text[i:end]); err != nil {
				return err
			}
			i = end - 1
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("is nested more than %d deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		case c == '-' || '0' <= c && c <= '9':
			end := i
			for end < len(text) && numeric(text[end]) {
				end++
			}
			if err := storableNumber(text[i:end]); err != nil {
				return err
			}
			i = end - 1
		}
	}
	return nil
}

func numeric(c byte) bool {
	return '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

func storableString(s []byte) error {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		if s[i] != 'u' {
			continue
		}
		r := escaped(s[i+1:])
		i += 4
		switch {
		case r == 0:
			return fmt.Errorf("has a NUL character (\\u0000)")
		case !utf16.IsSurrogate(r):
		case i+6 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' && utf16.DecodeRune(r, escaped(s[i+3:])) != '\uFFFD':
			i += 6
		default:
			return fmt.Errorf("has half of a surrogate pair (\\u%04x)", r)
		}
	}
	return nil
}

// escaped is the code unit of the four digits after \u.
func escaped(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // the JSON is valid
	return rune(n)
}

func storableNumber(n []byte) error {
	if len(n) > maxNumberBytes {
		return fmt.Errorf("has a number of more than %d characters", maxNumberBytes)
	}
	for i, c := range n {
		if c != 'e' && c != 'E' {
			continue
		}
		if exponent, err := strconv.Atoi(string(n[i+1:])); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return fmt.Errorf("has a number whose exponent is beyond %d", maxExponent)
		}
	}
	return nil
}
