#!/usr/bin/env bash
# Fuzzes every decoder, one after another: scripts/fuzz.sh [TIME EACH, default 5m].
set -euo pipefail
cd "$(dirname "$0")/.."

each=${1:-5m}
for dir in proto cmd/master; do
	for target in $(grep -ho 'func Fuzz[A-Za-z0-9]*' "$dir"/*_test.go | sed 's/func //' | sort); do
		printf '\n== %s %s\n' "$dir" "$target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$each" "./$dir"
	done
done
