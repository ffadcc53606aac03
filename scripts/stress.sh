#!/usr/bin/env bash
# What is too long for go test.
#
#   scripts/stress.sh [ROUNDS [SPAN]] the tests that kill, ROUNDS (default 1000) of each, also on one
#                                     processor and beside a load; then manager, soak and pool; and every
#                                     test again and again
#   scripts/stress.sh soak [SPAN]     every primitive, beside a load, with a watchdog for lost wake-ups,
#                                     for SPAN (default 5m) on one processor and as long on all
#   scripts/stress.sh manager [ROUNDS] the objects of a manager: ROUNDS (default 1000) clients killed that
#                                     hold and wait, also beside a load; a tenth as many histories with
#                                     kills of clients and of the manager, and managers killed whose
#                                     store must come back; the store after 100 times as many changes
#   scripts/stress.sh pool [SPAN]     a pool in chaos for SPAN (default 5m), and at its limits
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

# tenth of n, but not few: one round proves nothing, too little may have happened in it.
tenth() { echo $(($1 > 100 ? $1 / 10 : 10)); }

manager() {
	step "manager: $1 clients killed that hold and wait, plain and beside a load"
	MULTIPROC_ROUNDS=$1 go test -count=1 -timeout 60m -run 'ManagerKills' -v ./ipc
	MULTIPROC_ROUNDS=$1 load go test -count=1 -timeout 60m -run 'ManagerKills' -v ./ipc
	step "manager: $(tenth "$1") histories of each kind, and as many managers killed"
	MULTIPROC_ROUNDS=$(tenth "$1") go test -count=1 -timeout 120m -run 'ManagerLinearizable|PersistTwin|PersistKilled|ManagedQueueKills' -v ./ipc
	step "manager: a store after $((100 * $1)) changes"
	MULTIPROC_ROUNDS=$1 go test -count=1 -timeout 60m -run 'PersistGrowth' -v ./ipc
}

# With kill points, for then the sleepers can be told not to look again by themselves, and
# all to give their processor away in the middle.
soak() {
	step "every primitive: lost wake-ups, beside a load, for $1 on one processor and on all"
	soaker=$(mktemp -d)
	trap 'rm -rf "$soaker"' EXIT
	go test -tags killpoints -c -o "$soaker/ipc.test" ./ipc
	export MULTIPROC_SOAK=$1
	load taskset -c 0 "$soaker/ipc.test" -test.timeout 0 -test.run '^TestSoak$' -test.v
	load "$soaker/ipc.test" -test.timeout 0 -test.run '^TestSoak$' -test.v
	unset MULTIPROC_SOAK
}

case "${1:-}" in
manager)
	manager "${2:-1000}"
	step done
	exit
	;;
pool | soak)
	"$1" "${2:-5m}"
	step done
	exit
	;;
esac

rounds=${1:-1000}
span=${2:-5m}
tenth=$(tenth "$rounds")
few=$(((rounds + 99) / 100))
half=$(((few + 1) / 2))

step "every primitive: $rounds random kills, plain, on one processor, beside a load"
export MULTIPROC_ROUNDS=$rounds
go test -count=1 -timeout 60m -run 'RandomKills' -v ./ipc
GOMAXPROCS=1 go test -count=1 -timeout 60m -run 'RandomKills' -v ./ipc
load go test -count=1 -timeout 60m -run 'RandomKills' -v ./ipc

step "every primitive: killed at every point, $few times"
go test -tags killpoints -count=$few -timeout 180m -run "KilledAtEveryPoint|TestPoint" ./ipc
GOMAXPROCS=1 go test -tags killpoints -count=$half -timeout 180m -run "KilledAtEveryPoint|TestPoint" ./ipc

step "histories: $tenth of each kind, with kills and without"
export MULTIPROC_ROUNDS=$tenth
go test -count=1 -timeout 60m -run 'Linearizable' -v ./ipc
go test -tags killpoints -count=1 -timeout 60m -run 'Linearizable' -v ./ipc

step "the lock: $tenth times handed on with a rename under way"
go test -count=1 -timeout 60m -run 'HandedOn' -v ./ipc

step "workers: the kill matrix, $tenth rounds of each row"
go test -count=1 -timeout 120m -run 'Matrix' ./supervisor

step "the master: killed at $tenth random moments"
go test -count=1 -timeout 120m -run 'MasterKilled' -v ./cmd/master

unset MULTIPROC_ROUNDS
manager "$rounds"
soak "$span"
pool "$span"

step "everything, $((2 * few)) times; with the race detector on one processor and beside a load, $half times"
go test -count=$((2 * few)) -timeout 120m ./...
GOMAXPROCS=1 go test -race -count=$half -timeout 120m ./...
load go test -race -count=$half -timeout 120m ./...

step done
