#!/usr/bin/env bash
# What is too long for go test.
#
#   scripts/stress.sh [ROUNDS]       the tests that kill, ROUNDS (default 1000) of each, also on one
#                                    processor and beside a load; then pool
#   scripts/stress.sh pool [SPAN]    a pool in chaos for SPAN (default 5m), and at its limits
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

# load runs a command beside a busy loop on every processor.
load() {
	local pids=()
	for _ in $(seq "$(nproc)"); do
		(while :; do :; done) &
		pids+=($!)
	done
	local status=0
	"$@" || status=$?
	kill "${pids[@]}"
	wait "${pids[@]}" 2>/dev/null || true
	return $status
}

pool() {
	step "pool: 200,000 tickets and more while workers are killed and stopped, $1"
	MULTIPROC_CHAOS=$1 go test -count=1 -timeout 120m -run 'Chaos' -v ./supervisor
	step "pool: 1,000,000 tickets from a lazy source; 200 workers"
	MULTIPROC_SCALE=1 go test -count=1 -timeout 60m -run 'Scale' -v ./supervisor
}

if [ "${1:-}" = pool ]; then
	pool "${2:-5m}"
	step done
	exit
fi

rounds=${1:-1000}
tenth=$((rounds / 10))

step "the lock: $rounds random kills, plain, on one processor, beside a load"
export MULTIPROC_ROUNDS=$rounds
go test -count=1 -timeout 60m -run 'RandomKills' -v ./ipc
GOMAXPROCS=1 go test -count=1 -timeout 60m -run 'RandomKills' -v ./ipc
load go test -count=1 -timeout 60m -run 'RandomKills' -v ./ipc

step "the lock: killed at every point, 10 times"
go test -tags killpoints -count=10 -timeout 60m -run KilledAtEveryPoint ./ipc
GOMAXPROCS=1 go test -tags killpoints -count=5 -timeout 60m -run KilledAtEveryPoint ./ipc

step "the lock: $tenth times handed on with a rename under way"
export MULTIPROC_ROUNDS=$tenth
go test -count=1 -timeout 60m -run 'HandedOn' -v ./ipc

step "workers: the kill matrix, $tenth rounds of each row"
go test -count=1 -timeout 120m -run 'Matrix' ./supervisor

step "the master: killed at $tenth random moments"
go test -count=1 -timeout 120m -run 'MasterKilled' -v ./cmd/master

unset MULTIPROC_ROUNDS
pool 5m

step "everything, 20 times; with the race detector on one processor and beside a load, 5 times"
go test -count=20 -timeout 120m ./...
GOMAXPROCS=1 go test -race -count=5 -timeout 120m ./...
load go test -race -count=5 -timeout 120m ./...

step done
