package sqlgen

// Functions of addresses and networks.
var (
	// Within is true where the first network is the second or within it.
	Within = &Function{name: "within", template: "$1 <<= $2", result: Type{Kind: KindBool}}
	// Around is [Within] with the networks exchanged.
	Around = &Function{name: "around", template: "$1 >>= $2", result: Type{Kind: KindBool}}
	// IsNetwork is true of what is not a single address.
	IsNetwork = &Function{name: "is-network", template: "masklen($1) < CASE family($1) WHEN 4 THEN 32 ELSE 128 END", result: Type{Kind: KindBool}}
)
