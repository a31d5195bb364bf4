#!/usr/bin/env bash
# Builds examples/hello for six platforms from nothing: no Docker, no BuildKit
# daemon, no QEMU handler registered on this machine. The registries are on
# loopback and go away with the script; the base images are made once.
set -euo pipefail
cd "$(dirname "$0")/.."
platforms=linux/amd64,linux/arm64,linux/arm/v7,linux/386,linux/ppc64le,linux/s390x
work=$(mktemp -d)
export MABUILD_STATE_DIR=$work/state XDG_DATA_HOME=$work/data MABUILD_ENGINE_CONFIG=$work/engine.toml BUILDKIT_HOST=
mabuild=$PWD/$BIN/mabuild

cleanup() {
	"$mabuild" engine stop --force 2>/dev/null || true
	if [ -n "${testbed:-}" ]; then kill "$testbed" 2>/dev/null && wait "$testbed" || true; fi
	rm -rf "$work"
}
trap cleanup EXIT
bold=; plain=; if [ -t 1 ]; then bold=$'\033[1m'; plain=$'\033[0m'; fi
step() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; }

echo "Base images and a registry on loopback (made once, takes minutes the first time) …"
"$BIN/testbed" serve --images busybox --config "$MABUILD_ENGINE_CONFIG" --ready "$work/ready" </dev/null >"$work/testbed.log" 2>&1 &
testbed=$!
until [ -s "$work/ready" ]; do
	kill -0 "$testbed" || { cat "$work/testbed.log"; exit 1; }
	sleep 0.2
done
. "$work/ready"
image=$TESTBED_REGISTRY/hello:1

step "mabuild --platform $platforms -t $image --push examples/hello"
started=$(date +%s%N)
"$mabuild" --platform "$platforms" -t "$image" --push --progress=plain examples/hello
echo "six platforms in $((($(date +%s%N) - started) / 1000000)) ms, engine start included"

step "mabuild inspect $image"
"$mabuild" inspect --source=registry "$image"

step "run every platform of what the registry has"
printf 'FROM %s\nUSER root\nRUN echo "Hello from $(uname -m), image built on $(cat /arch)" > /said\n' "$image" >"$work/Dockerfile"
"$mabuild" --platform "$platforms" --quiet -o "$work/out" "$work"
for dir in "$work"/out/*; do printf '%-14s %s\n' "$(basename "$dir")" "$(cat "$dir/said")"; done

step "the host's own binfmt_misc table"
handlers=$(find /proc/sys/fs/binfmt_misc -mindepth 1 ! -name register ! -name status 2>/dev/null | wc -l)
echo "$handlers handlers registered on the host: mabuild needed none of them"
