package httpapi

// Routes are the methods and paths that are answered with the config.
func Routes(c Config) []string {
	s := &server{store: c.Store, auditParser: &auditParser{}}
	var out []string
	for _, r := range s.routes(c) {
		out = append(out, r.method+" "+r.path)
	}
	return out
}
