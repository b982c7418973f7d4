#!/usr/bin/env bash
# Runs golangci-lint, built once from the version pinned in tools/go.mod into the
# user's cache, on the module of the folder it is called in.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
version=$(go -C "$tools" list -m -f '{{.Version}}' github.com/golangci/golangci-lint/v2)
bin="${XDG_CACHE_HOME:-$HOME/.cache}/module-controller/golangci-lint-$version"
if [ ! -x "$bin" ]; then
  echo "building golangci-lint $version, about 3 minutes, once" >&2
  mkdir -p "$(dirname "$bin")"
  go -C "$tools" build -o "$bin.$$" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
  mv "$bin.$$" "$bin"
fi
exec "$bin" "$@"
