#!/usr/bin/env bash
# Measures what this machine does with it.
#
#   scripts/bench.sh [go] [COUNT]    medians of COUNT runs (default 7) of the Go benchmarks
#   scripts/bench.sh ipc [COUNT]     package ipc beside CPython 3 and C, medians of COUNT
#                                    rounds, in which the three take turns
#   scripts/bench.sh pool [COUNT]    package supervisor beside CPython 3 and hashicorp/go-plugin
#   scripts/bench.sh manager [COUNT] a manager and its clients beside CPython 3
#
# One thing after another, never in parallel.
set -euo pipefail
cd "$(dirname "$0")/.."

what=go
case ${1:-} in go | ipc | pool | manager)
	what=$1
	shift
	;;
esac
count=${1:-7}
[[ $count =~ ^[1-9][0-9]*$ ]] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

bench_go() {
	for _ in $(seq "$count"); do
		go test -run '^$' -bench . -benchmem ./proto ./ipc ./supervisor >>"$tmp/out"
	done
	# name → every "value unit" pair → median of the values.
	awk '
	/^Benchmark/ {
		for (i = 3; i < NF; i += 2) {
			key = $1 "\t" $(i + 1)
			if (!(key in n)) order[++keys] = key
			v[key, ++n[key]] = $i
		}
	}
	END {
		for (k = 1; k <= keys; k++) {
			key = order[k]
			m = n[key]
			for (i = 1; i <= m; i++) a[i] = v[key, i] + 0
			for (i = 2; i <= m; i++) for (j = i; j > 1 && a[j - 1] > a[j]; j--) { x = a[j]; a[j] = a[j - 1]; a[j - 1] = x }
			split(key, part, "\t")
			printf "%-48s %14.6g %s\n", part[1], a[int((m + 1) / 2)], part[2]
		}
	}' "$tmp/out"
}

# versions heads a table.
versions() {
	echo "$(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg), $(go env GOVERSION), $(python3 --version 2>/dev/null || true)$*"
}

# rounds runs every measure of a table, in turn with each of the peers, and prints the table.
# $1 is its measures.tsv, $2 the third peer; the array program tells how to run each that is there.
rounds() {
	local r m who
	for r in $(seq "$count"); do
		# Parts of one measure, MEASURE.PART, come from one run.
		for m in $(awk -F'\t' '!/^#/ { sub(/\..*/, "", $1); if (!seen[$1]++) print $1 }' "$1"); do
			for who in ours py $2; do
				[ -n "${program[$who]:-}" ] || continue
				# A measure that fails or hangs is a gap in the table, and said.
				timeout -k 1 60 ${program[$who]} "$m" >"$tmp/one" || echo "bench: $who $m: status $?" >&2
				sed "s/^/$who /" "$tmp/one" >>"$tmp/out"
			done
		done
		printf '\rround %d of %d' "$r" "$count" >&2
	done
	echo >&2
	awk -F'\t' -v third="$2" -f scripts/bench/table.awk "$1" FS=' ' "$tmp/out"
}

declare -A program

# python_peer is CPython, running a file.
python_peer() {
	if command -v python3 >/dev/null; then
		program[py]="python3 $1"
	else
		echo "bench: there is no python3 here, so no CPython" >&2
	fi
}

bench_ipc() {
	CGO_ENABLED=0 go build -o "$tmp/ours" ./scripts/bench/ours
	program[ours]=$tmp/ours
	python_peer scripts/bench/peers.py
	if command -v cc >/dev/null; then
		cc -O2 -pthread -o "$tmp/limits" scripts/bench/limits.c
		program[c]=$tmp/limits
	else
		echo "bench: there is no cc here, so no limits in C" >&2
	fi
	versions
	rounds scripts/bench/measures.tsv c
}

bench_pool() {
	CGO_ENABLED=0 go build -o "$tmp/ours" ./scripts/bench/pool
	program[ours]=$tmp/ours
	python_peer scripts/bench/pool/peers.py
	# A module of its own: ours has no more dependencies for it.
	if go build -C scripts/bench/goplugin -o "$tmp/goplugin" .; then
		program[goplugin]=$tmp/goplugin
	else
		echo "bench: go-plugin cannot be had here, so it is left out" >&2
	fi
	versions ", go-plugin $(go list -C scripts/bench/goplugin -m -f '{{.Version}}' github.com/hashicorp/go-plugin) by net/rpc"
	rounds scripts/bench/pool/measures.tsv goplugin
}

bench_manager() {
	CGO_ENABLED=0 go build -o "$tmp/ours" ./scripts/bench/manager
	program[ours]=$tmp/ours
	python_peer scripts/bench/manager/peers.py
	versions
	rounds scripts/bench/manager/measures.tsv ""
}

"bench_$what"
