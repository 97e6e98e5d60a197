package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowfence/rowfence/compiler"
)

func explainErrorCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "explain-error [CODE]...",
		Short: "Say what an error code means, with an example and the way out",
		Long: `explain-error prints what the codes of refusals mean: when one occurs, an example that
is refused with it, and what to write instead. Without a code it lists them all.

Exit codes: 0 done, 1 used wrongly, 2 there is no such code.`,
		Example: `  rowfence explain-error
  rowfence explain-error RF3005
  rowfence explain-error RF3005 --format json`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var out []string
			for _, e := range compiler.Catalogue() {
				out = append(out, string(e.Code)+"\t"+e.Title)
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, codes []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format %s: want text or json", format)
			}
			entries, err := lookUp(codes)
			if err != nil {
				return &exitError{exitRefused, err}
			}
			if format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetEscapeHTML(false)
				return enc.Encode(entries)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), explainErrors(entries, len(codes) == 0))
			return err
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "text", "text, or json (an array of the codes)")
	return cmd
}

// lookUp are the entries of the codes, or all when there are none.
func lookUp(codes []string) ([]compiler.Entry, error) {
	if len(codes) == 0 {
		return compiler.Catalogue(), nil
	}
	var out []compiler.Entry
	for _, code := range codes {
		e, near, ok := compiler.Lookup(code)
		if !ok {
			hint := `"rowfence explain-error" lists them`
			if len(near) > 0 {
				hint = fmt.Sprintf("did you mean %s?", alternatives(near))
			}
			return nil, fmt.Errorf("there is no error code %q; %s", code, hint)
		}
		out = append(out, e)
	}
	return out, nil
}

// alternatives are names as a choice: a, b or c.
func alternatives[T ~string](names []T) string {
	var b strings.Builder
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}

func explainErrors(entries []compiler.Entry, list bool) string {
	var b strings.Builder
	for i, e := range entries {
		if list {
			fmt.Fprintf(&b, "%s  %s\n", e.Code, e.Title)
			continue
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s\n\n%s\n\nWhen: %s\n", e.Code, e.Title, wrap(e.Meaning), wrap("      " + e.When)[6:])
		writeFiles(&b, e.Example)
		fmt.Fprintf(&b, "\nThe way out: %s\n", wrap("             " + e.Fix)[13:])
		writeFiles(&b, e.Fixed)
	}
	return b.String()
}

func writeFiles(b *strings.Builder, x compiler.Example) {
	for _, f := range x.Files() {
		fmt.Fprintf(b, "\n  %s\n", f.Name)
		for line := range strings.Lines(f.Text) {
			if line = strings.TrimRight(line, "\n"); line == "" {
				b.WriteByte('\n')
				continue
			}
			fmt.Fprintf(b, "    %s\n", line)
		}
	}
}

// lineWidth is how wide text is on a terminal.
const lineWidth = 88

// wrap breaks a text of one line a paragraph into lines. It keeps the indent of the
// first, which is for what stands before it.
func wrap(text string) string {
	var b strings.Builder
	width := len(text) - len(strings.TrimLeft(text, " "))
	b.WriteString(text[:width])
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case width+1+len(word) > lineWidth:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	return b.String()
}
