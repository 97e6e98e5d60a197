package sqlgen

// Functions of uuids.
var (
	// UUIDVersion is the number in the four bits that say how a uuid was made.
	UUIDVersion = &Function{name: "uuid-version", template: "get_byte(uuid_send($1), 6) >> 4", result: Type{Kind: KindInt}}
	// UUIDVariant is the byte whose first bits say how a uuid is laid out.
	UUIDVariant = &Function{name: "uuid-variant", template: "get_byte(uuid_send($1), 8)", result: Type{Kind: KindInt}}
)
