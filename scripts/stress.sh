#!/usr/bin/env bash
# What is too long for go test: the tests that kill, many rounds of each, also on
# one processor and beside a load. scripts/stress.sh [ROUNDS, default 1000].
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-1000}
tenth=$((rounds / 10))
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

step "everything, 20 times; with the race detector on one processor and beside a load, 5 times"
unset MULTIPROC_ROUNDS
go test -count=20 -timeout 120m ./...
GOMAXPROCS=1 go test -race -count=5 -timeout 120m ./...
load go test -race -count=5 -timeout 120m ./...

step done
