package httpapi

import (
	_ "embed"
	"fmt"
	"net/http"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed openapi.yaml
var openapiText []byte

var openapiJSON = sync.OnceValues(func() ([]byte, error) {
	text, err := yaml.YAMLToJSON(openapiText)
	if err != nil {
		return nil, fmt.Errorf("reading the description of the API: %w", err)
	}
	return text, nil
})

// described answers with the description of the API, which is the same for everyone.
func described(w http.ResponseWriter, _ *http.Request) error {
	text, err := openapiJSON()
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(text) // the client is gone: nothing to do about it
	return nil
}
