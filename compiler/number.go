package compiler

// numberBuiltins are the builtin functions of numbers.
var numberBuiltins = map[string]symbolic{}
