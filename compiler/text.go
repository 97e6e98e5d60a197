package compiler

// textBuiltins are the builtin functions of strings.
var textBuiltins = map[string]symbolic{}
