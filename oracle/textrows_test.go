package oracle

// What string functions tell apart: letters that have a case beyond ASCII, spaces,
// separators, and JSON strings and arrays of them.
func init() {
	texts := []string{"\u212a", "k", "\u0130", "\u017f", "AB", "Straße", "Σας", " a ", "\u00a0b\t", "a,b,,c", "a.b/c", "a\nb", "😀"}
	more := map[string][]cell{
		"t": quoted("text", texts...),
		"w": quoted("varchar", "A", "é", "a,b", ","),
		"j": jsons(`{"s":"A,b"}`, `{"s":"K"}`, `{"s":" é"}`, `["a","b"]`, `["ab"]`),
	}
	for i := range columns {
		columns[i].values = append(columns[i].values, more[columns[i].name]...)
	}
}
