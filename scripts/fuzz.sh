#!/usr/bin/env bash
# Fuzzes every decoder, and a manager, one after another: scripts/fuzz.sh [TIME EACH, default 5m].
set -euo pipefail
cd "$(dirname "$0")/.."

each=${1:-5m}
for dir in proto ipc cmd/master; do
	for target in $(grep -ho 'func Fuzz[A-Za-z0-9]*' "$dir"/*_test.go | sed 's/func //' | sort); do
		printf '\n== %s %s\n' "$dir" "$target"
		# Minimizing takes a minute for each input that is new, and is for nothing where goroutines make the coverage vary.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$each" -fuzzminimizetime 10x "./$dir"
	done
done
