package compiler

// timeBuiltins are the builtin functions of times and dates.
var timeBuiltins = map[string]symbolic{}
