package compiler

// collectionBuiltins are the builtin functions of arrays, sets and objects.
var collectionBuiltins = map[string]symbolic{}
