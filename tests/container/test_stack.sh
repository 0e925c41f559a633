#!/usr/bin/env bash
# The compose stack, built and run: the client profiles the healthy server, artifacts, images and
# table land in the mounted directory, its exit code comes through, images run as nobody special.
# Exit code 77 means skipped: no container engine can be had here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly TOOLS=tests/container

skip() {
    echo "skipped: $*"
    exit 77
}
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
check() { # check NAME COMMAND...
    "${@:2}" || fail "$1"
    echo "ok: $1"
}

[[ ${FLUXBENCH_CONTAINER:-on} != off ]] || skip "FLUXBENCH_CONTAINER=off"
[[ $(id -u) == 0 ]] || skip "the private container engine needs root"
command -v apt-get >/dev/null || skip "the private container engine comes from Debian's packages"
unshare --mount --net true 2>/dev/null || skip "this machine allows no namespaces"

work=$(mktemp -d)
log=$work/log
was_running=$("$TOOLS/engine.sh" status 2>/dev/null || true)
finish() {
    local code=$?
    if [[ $code != 0 && $code != 77 && -f $log ]]; then
        tail -n 60 "$log" >&2
    fi
    rm -rf "$work"
    [[ -n $was_running ]] || "$TOOLS/engine.sh" stop || true
}
trap finish EXIT
"$TOOLS/engine.sh" start >"$log" 2>&1 || skip "the container engine does not start: $(tail -n 3 "$log")"
"$TOOLS/base.sh" >"$log" 2>&1 || skip "no base image can be made: $(tail -n 3 "$log")"
eval "$("$TOOLS/engine.sh" env)"

# The same stack with its artifacts elsewhere.
mkdir "$work/artifacts"
chown 4321:4321 "$work/artifacts"
cat >"$work/artifacts.yml" <<YML
services:
  client:
    volumes:
      - $work/artifacts:/artifacts
YML
stack() { "$TOOLS/compose.sh" -f docker-compose.yml -f "$work/artifacts.yml" "$@"; }

# ---- a good run --------------------------------------------------------------------------------
code=0
stack up --exit-code-from client >"$log" 2>&1 || code=$?
check "a good run ends with 0 (got $code)" test "$code" = 0
check "the server listens on all addresses" grep -q 'running on http://0.0.0.0:30000' "$log"
check "the table is shown and kept" grep -q 'Request Latency' "$work/artifacts/table.txt" "$log"
n_images=$(find "$work/artifacts/images" -name '*.png' | wc -l)
check "three images lie in images/ (found $n_images)" test "$n_images" = 3
for name in profile_export_aiperf.json profile_export_aiperf.csv profile_export.jsonl \
    profile_export_raw.jsonl inputs.json; do
    check "$name is there" test -n "$(find "$work/artifacts" -mindepth 2 -name "$name" -size +0)"
done
check "everything belongs to the owner of the directory" \
    test -z "$(find "$work/artifacts" ! -user 4321)"

# ---- a bad run ---------------------------------------------------------------------------------
cat >"$work/bad.yml" <<'YML'
services:
  client:
    command: [profile, --no-such-option]
YML
code=0
stack --no-build -f "$work/bad.yml" up --exit-code-from client >"$log" 2>&1 || code=$?
check "a client that ends with 2 makes the stack end with 2 (got $code)" test "$code" = 2

# ---- the images --------------------------------------------------------------------------------
for image in fluxbench-server:cpu fluxbench-client:latest; do
    user=$(docker image inspect -f '{{.Config.User}}' "$image")
    check "$image runs as a numeric user that is not root" test "$user" = 10001:10001
done
no_cuda() { # no_cuda IMAGE: asked for CUDA, the build without it says so and fails
    ! docker run --rm --network none "$1" serve --backend cuda >"$log" 2>&1 &&
        grep -qi 'without.*cuda\|no cuda' "$log"
}
check "the CPU image refuses --backend cuda" no_cuda fluxbench-server:cpu

# ---- the CUDA image ----------------------------------------------------------------------------
if [[ -x ${CUDA_HOME:-/usr/local/cuda}/bin/nvcc ]]; then
    "$TOOLS/cuda-base.sh" fluxbench-cuda-base:local-devel- >"$log" 2>&1 || fail "no CUDA base"
    "$TOOLS/cuda-base.sh" fluxbench-cuda-base:local-runtime- >"$log" 2>&1 || fail "no CUDA base"
    check "the CUDA image builds" "$TOOLS/build.sh" -q -t fluxbench-server:cuda \
        --target server-cuda --build-arg CUDA_BASE=fluxbench-cuda-base:local-devel- \
        --build-arg CUDA_RUNTIME_BASE=fluxbench-cuda-base:local-runtime- .
    check "the CUDA image refuses --backend cuda until it has that back end" \
        no_cuda fluxbench-server:cuda
else
    echo "left out: no CUDA toolkit here to make a stand-in for the CUDA base image"
fi

# ---- the files ---------------------------------------------------------------------------------
check "Dockerfile and compose files are clean" \
    "$TOOLS/lint.sh" Dockerfile docker-compose.yml tools/*.sh
check "the GPU override is valid" \
    "${CONTAINER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/container-lab}/py/docker-compose/bin/docker-compose" \
    -f docker-compose.yml -f docker-compose.gpu.yml config -q
echo "the stack works"
