//go:build !unix

// Package pglocal runs a private PostgreSQL. It needs a Unix system.
package pglocal

import (
	"context"
	"errors"
	"log/slog"
)

// Options says which server to start.
type Options struct {
	DataDir   string
	Ephemeral bool
	Log       *slog.Logger
}

// A Server is a running PostgreSQL.
type Server struct{}

// Start returns an error: there is no private PostgreSQL on this system.
func Start(context.Context, Options) (*Server, error) {
	return nil, errors.New("starting the private PostgreSQL: it needs a Unix system; give the URL of a running PostgreSQL instead")
}

// URL returns the server's address.
func (*Server) URL() string { return "" }

// Home returns the directory of the server's data.
func (*Server) Home() string { return "" }

// Close does nothing.
func (*Server) Close() error { return nil }
