#!/usr/bin/env bash
# All checks of the tree, in the order of what they cost. Some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.1

step() { printf '\n== %s\n' "$*"; }

step gofmt
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	echo "gofmt would change: $unformatted"
	exit 1
fi

step vet, also for arm64 and with kill points
go vet ./...
GOARCH=arm64 go vet ./...
go vet -tags killpoints ./...

step staticcheck
go run "$STATICCHECK" ./...

step build
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
go build -o "$out" ./cmd/master ./cmd/worker
GOARCH=arm64 go build ./...

step one clear error on other platforms
elsewhere=$(GOOS=darwin go build ./... 2>&1 || true)
if ! grep -q needs_Linux <<<"$elsewhere" || [ "$(grep -c '\.go:' <<<"$elsewhere")" != 1 ]; then
	echo "a build for another platform says: $elsewhere"
	exit 1
fi

step tests, with the race detector
go test -race ./...

step locks and their like, killed and stopped at every point
go test -tags killpoints -run 'TestLockKilledAtEveryPoint|TestKilledAtEveryPoint|TestPoint' ./ipc

step the main job
"$out/master" -workers 4 -job scripts/jobs/tickets.json | tee "$out/job"
expect() {
	if ! grep -Eq "$1" "$out/job"; then
		echo "the main job printed nothing like: $1"
		exit 1
	fi
}
expect '20 tickets in .*, all ok'
expect 'bought ticket 10, 0 left'
sold=$(grep -c 'bought ticket' "$out/job")
pids=$(grep -Eo 'pid [0-9]+' "$out/job" | sort -u | wc -l)
if [ "$sold" != 10 ] || [ "$pids" != 4 ]; then
	echo "the main job sold $sold of 10 tickets in $pids of 4 processes"
	exit 1
fi

step done
