#!/bin/sh
# Makes sure that a PostgreSQL server's programs are on this machine, where
# internal/pglocal finds them. Nothing is started and no cluster is created.
#
# Found ones are left as they are. Otherwise, with apt-get: root installs the
# distribution's package; an ordinary user gets the same package, unpacked in
# the user's cache directory, without sudo.
set -eu

say() { printf 'postgres: %s\n' "$*"; }
die() {
    printf 'postgres: %s\n' "$*" >&2
    exit 1
}

case $(uname -s) in
Darwin) user_cache=${HOME:-}/Library/Caches ;;
*) user_cache=${XDG_CACHE_HOME:-${HOME:-}/.cache} ;;
esac
fetched=$user_cache/rowfence/postgresql
uid=$(id -u)

# The libraries that came with fetched programs, as a search path.
libraries_of() {
    for dir in "$1"/usr/lib/*-linux-* "$1"/lib/*-linux-*; do
        printf '%s:' "$dir"
    done
}

# Lists bin directories in the order in which internal/pglocal tries them.
candidates() {
    if [ -n "${ROWFENCE_PG_BIN:-}" ]; then
        printf '%s\n' "$ROWFENCE_PG_BIN"
        return
    fi
    if path=$(command -v postgres); then
        dirname "$(readlink -f "$path")"
    fi
    printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5,5nr
    # Root's PostgreSQL runs as another user, who can't enter root's cache.
    if [ "$uid" -ne 0 ]; then
        printf '%s\n' "$fetched"/usr/lib/postgresql/*/bin
    fi
}

# Prints the version of the server in the bin directory $1, if it runs.
version_of() (
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || exit 1
    libraries=${LD_LIBRARY_PATH:-}
    case $1 in
    "$fetched"/*) libraries=$(libraries_of "$fetched"):$libraries ;;
    esac
    export LD_LIBRARY_PATH="$libraries"
    "$1/initdb" --version >/dev/null 2>&1 || exit 1
    "$1/postgres" --version 2>/dev/null
)

# Says what is there, or fails if there is nothing.
find_postgres() {
    candidates | {
        while IFS= read -r bin; do
            if version=$(version_of "$bin"); then
                say "$1 $version in $bin"
                exit 0
            fi
        done
        exit 1
    }
}

if find_postgres 'found'; then
    exit 0
fi
if [ -n "${ROWFENCE_PG_BIN:-}" ]; then
    die "no working PostgreSQL in ROWFENCE_PG_BIN=$ROWFENCE_PG_BIN"
fi
if ! command -v apt-get >/dev/null; then
    die 'no PostgreSQL found, and no apt-get to get it with: install PostgreSQL' \
        '(13 or later) with the package manager of your system, or set ROWFENCE_PG_BIN to its bin directory'
fi

work=$(mktemp -d)
restore=:
trap '$restore; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Runs a command quietly; its output is shown if it fails.
quietly() {
    if ! "$@" >"$work/log" 2>&1 </dev/null; then
        cat "$work/log" >&2
        return 1
    fi
}

clusterconf=/etc/postgresql-common/createcluster.conf

restore_clusterconf() {
    if [ -f "$work/createcluster.conf" ]; then
        cat "$work/createcluster.conf" >"$clusterconf"
    fi
}

install_as_root() {
    export DEBIAN_FRONTEND=noninteractive
    set -- apt-get -q -y -o DPkg::Lock::Timeout=300
    # An unreachable third-party repository is no reason to stop.
    quietly "$@" update || say 'apt-get update had problems, going on' >&2
    # Debian's package creates and starts a cluster, unless it is told not to
    # between the installation of postgresql-common and its own.
    quietly "$@" install --no-install-recommends postgresql-common
    cat "$clusterconf" >"$work/createcluster.conf"
    restore=restore_clusterconf
    printf 'create_main_cluster = false\n' >>"$clusterconf"
    quietly "$@" install --no-install-recommends postgresql
    restore_clusterconf
    restore=:
}

# Downloads the packages by the package lists in the directory $1, and unpacks
# them in $work/root. Called as a condition, so errors are handled one by one.
# shellcheck disable=SC2086 # lists of options and of package names
unpack_with_lists() {
    lists=$1
    rm -rf "$work/debs" "$work/root"
    mkdir -p "$work/debs" "$work/root" || return 1
    package=$(apt-cache $apt -o Dir::State::lists="$lists" depends postgresql 2>/dev/null |
        sed -n 's/^ *Depends: \(postgresql-[0-9][0-9]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || return 1
    # What the system lacks of the libraries. LLVM (for jit, which is off) and
    # Perl (for Debian's cluster tools) are large and not needed.
    libraries=$(apt-get $apt -o Dir::State::lists="$lists" -s --no-install-recommends install "$package" 2>"$work/log" |
        awk '$1 == "Inst" && $2 ~ /^lib/ && $2 !~ /^lib(llvm|perl|z3)|-perl$/ && $3 !~ /^\[/ { print $2 }')
    (cd "$work/debs" && quietly apt-get $apt -o Dir::State::lists="$lists" download "$package" $libraries) || return 1
    for deb in "$work"/debs/*.deb; do
        quietly dpkg -x "$deb" "$work/root" || return 1
    done
}

install_as_user() {
    [ "$user_cache" != /.cache ] || die 'HOME is not set: there is no place to put PostgreSQL'
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
    # apt as an ordinary user: its own state, the system's sources and keys.
    apt="-q -o Dir::State=$work/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$work/cache -o Debug::NoLocking=true"
    # The system's package lists, unless they are missing or out of date.
    if ! unpack_with_lists /var/lib/apt/lists 2>/dev/null; then
        # shellcheck disable=SC2086 # a list of options
        quietly apt-get $apt update || say 'apt-get update had problems, going on' >&2
        unpack_with_lists "$work/state/lists" || die 'getting the packages of PostgreSQL failed'
    fi
    mkdir -p "$(dirname "$fetched")"
    rm -rf "$fetched"
    mv "$work/root" "$fetched"
}

if [ "$uid" -eq 0 ]; then
    say "none found: installing the package postgresql with apt-get (no cluster is created)"
    install_as_root
else
    say "none found: fetching the package postgresql into $fetched"
    install_as_user
fi
if ! find_postgres 'now there is'; then
    for program in "$fetched"/usr/lib/postgresql/*/bin/postgres /usr/lib/postgresql/*/bin/postgres; do
        if [ -x "$program" ]; then
            LD_LIBRARY_PATH=$(libraries_of "$fetched") ldd "$program" | grep 'not found' >&2 || :
        fi
    done
    die 'PostgreSQL was installed, but does not run'
fi
