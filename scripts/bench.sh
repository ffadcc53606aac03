#!/usr/bin/env bash
# Measures what this machine does with it: medians of COUNT runs (default 7), one
# after another, never in parallel.
set -euo pipefail
cd "$(dirname "$0")/.."

count=${1:-7}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for _ in $(seq "$count"); do
	go test -run '^$' -bench . -benchmem ./proto ./ipc ./supervisor >>"$out"
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
}' "$out"
