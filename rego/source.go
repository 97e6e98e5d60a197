package rego

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
)

// Source is a place that policies and data documents come from.
type Source func(*sources) error

type sources struct {
	modules map[string]*ast.Module
	data    map[string]any
}

// Paths reads files and directories of the operating system: Rego files, JSON or
// YAML data documents, and OPA bundles (.tar.gz). Of a directory, Rego files that
// are not tests (_test.rego) and the data documents that a bundle would have
// (data.json, data.yaml) are read.
func Paths(paths ...string) Source {
	return func(s *sources) error {
		for _, p := range paths {
			info, err := os.Stat(p)
			if err != nil {
				return fmt.Errorf("reading policy: %w", err)
			}
			if strings.HasSuffix(p, ".tar.gz") {
				if err := s.bundle(p); err != nil {
					return err
				}
				continue
			}
			if err := s.load(loader.NewFileLoader(), p, info.IsDir()); err != nil {
				return err
			}
		}
		return nil
	}
}

// FS reads a file system as [Paths] reads a directory.
func FS(fsys fs.FS) Source {
	return func(s *sources) error {
		return s.load(loader.NewFileLoader().WithFS(fsys), ".", true)
	}
}

// Module is a policy held in memory; name stands in the positions of errors.
func Module(name, text string) Source {
	return func(s *sources) error {
		m, err := ast.ParseModuleWithOpts(name, text, parserOptions())
		if err != nil {
			return err
		}
		if m == nil {
			return fmt.Errorf("policy %s is empty", name)
		}
		return s.add(name, m)
	}
}

// Data is a data document: the value of data in the policy.
func Data(doc map[string]any) Source {
	return func(s *sources) error { return s.merge(doc) }
}

func parserOptions() ast.ParserOptions {
	return ast.ParserOptions{RegoVersion: ast.RegoV1}
}

func (s *sources) load(l loader.FileLoader, path string, dir bool) error {
	l = l.WithProcessAnnotation(false).WithRegoVersion(ast.RegoV1)
	var filter loader.Filter
	if dir {
		filter = skipped
	}
	res, err := l.Filtered([]string{path}, filter)
	if err != nil {
		var many loader.Errors // its text would hide the positions of parse errors
		if errors.As(err, &many) && len(many) == 1 {
			err = many[0]
		}
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(res.Modules)) { // so that the first error is always the same
		if err := s.add(name, res.Modules[name].Parsed); err != nil {
			return err
		}
	}
	return s.merge(res.Documents)
}

func (s *sources) bundle(path string) error {
	b, err := loader.NewFileLoader().WithSkipBundleVerification(true).WithRegoVersion(ast.RegoV1).AsBundle(path)
	if err != nil {
		return fmt.Errorf("reading bundle: %w", err)
	}
	for _, m := range b.Modules {
		if err := s.add(m.Path, m.Parsed); err != nil {
			return err
		}
	}
	return s.merge(b.Data)
}

func (s *sources) add(name string, m *ast.Module) error {
	if _, ok := s.modules[name]; ok {
		return fmt.Errorf("policy %s is given twice", name)
	}
	if err := checkReserved(m); err != nil {
		return err
	}
	s.modules[name] = m
	return nil
}

func (s *sources) merge(doc map[string]any) error {
	merged, err := mergeData("data", s.data, doc)
	if err != nil {
		return err
	}
	s.data = merged
	return nil
}

// mergeData leaves both documents as they are: they may be a caller's.
func mergeData(path string, a, b map[string]any) (map[string]any, error) {
	out := maps.Clone(a)
	for _, k := range slices.Sorted(maps.Keys(b)) {
		have, taken := out[k]
		if !taken {
			out[k] = b[k]
			continue
		}
		x, okX := have.(map[string]any)
		y, okY := b[k].(map[string]any)
		if !okX || !okY {
			return nil, fmt.Errorf("data documents disagree on %s.%s", path, k)
		}
		sub, err := mergeData(path+"."+k, x, y)
		if err != nil {
			return nil, err
		}
		out[k] = sub
	}
	return out, nil
}

// skipped leaves out tests, and files that only stand beside a policy.
func skipped(_ string, info os.FileInfo, _ int) bool {
	name := info.Name()
	switch ext := filepath.Ext(name); {
	case info.IsDir():
		return strings.HasPrefix(name, ".") && name != "." && name != ".."
	case ext == ".rego":
		return strings.HasSuffix(name, "_test.rego")
	default:
		return name != "data.json" && name != "data.yaml" && name != "data.yml"
	}
}
