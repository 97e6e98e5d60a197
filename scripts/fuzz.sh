#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME (default 20s), one after
# the other. Arguments are packages (default ./...).
set -eu

[ $# -gt 0 ] || set -- ./...
count=0
for package in $(go list "$@"); do
    # Two steps: in a pipe a package that does not build would have no targets.
    listed=$(go test -list '^Fuzz' "$package")
    for target in $(printf '%s\n' "$listed" | grep '^Fuzz' || :); do
        printf '== %s %s\n' "$package" "$target"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" "$package"
        count=$((count + 1))
    done
done
printf '%d fuzz targets, no failure\n' "$count"
