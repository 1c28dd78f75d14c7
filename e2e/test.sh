#!/usr/bin/env bash
# Runs all tests in stages, carries on after a failure, and ends with one line of counts.
# Usage: e2e/test.sh [STAGE…]       without a stage: all of them
set -uo pipefail

cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} FAIRLEAD_CACHE=$PWD/.cache
lab="$CARGO_TARGET_DIR/debug/fairlead-lab --name test"
log=$FAIRLEAD_CACHE/log/test
passed=0
failed=()
start=$SECONDS
mkdir -p "$log"

# stage SHORT NAME COMMAND: what the command prints is kept in $log/SHORT, so that a failure's last lines can be told again at the end.
stage() {
  local short=$1 name=$2 begin=$SECONDS
  shift 2
  echo "== $name"
  if "$@" 2>&1 | tee "$log/$short"; then
    passed=$((passed + 1))
    echo "== $name: passed in $((SECONDS - begin)) s"
  else
    failed+=("$short")
    echo "== $name: FAILED after $((SECONDS - begin)) s"
  fi
}

prepare() {
  e2e/tools/machine.sh && e2e/tools/debs.sh && e2e/tools/vm.sh && e2e/tools/build.sh kubernetes charts cni e2e containerd csi
}

formatting() { cargo fmt --check; }

lints() { cargo clippy --workspace --all-targets --quiet -- -D warnings; }

build_image() { make lab image; }

rust_tests() { cargo test --workspace --no-fail-fast; }

# What boots machines with device-mapper. All packages are named, so that nothing is compiled again with other features.
storage_tests() {
  # They take minutes, as qemu emulates every instruction: make conformance runs them.
  local skipped=(--skip host:: --skip capacity::sums_have)
  cargo build --quiet --workspace --bins &&
    cargo test --workspace --test 'vm*' --test machine --test storage --test volume --no-fail-fast -- \
      --ignored --test-threads=2 "${skipped[@]}"
}

chart_tests() { charts/test.sh; }

lab_tests() { cargo test --workspace --test lab -- --ignored --test-threads=1; }

# Three nodes in two subnets, in mode vxlan. Leaves no cluster behind, however it ends.
cluster_tests() {
  $lab down || return 1
  $lab up --subnets 2 --own-boot-ids && $lab check --mode vxlan && $lab trial node-restart &&
    $lab e2e --focus 'Networking Granular Checks.*NodeConformance' && $lab policy-tests --procs 3 &&
    $lab trial removal
  down_after $?
}

# Two nodes in one subnet, in mode direct.
on_containerd_2() {
  $lab down && $lab up --runtime containerd2 --proxy-mode iptables --nodes 2 && $lab check --mode direct
  down_after $?
}

# The cluster's state goes beside the stage's log, not into it: the log shall end with what failed.
down_after() {
  if [ "$1" != 0 ]; then
    $lab status >&3 2>&3
  fi
  $lab down >&3 2>&3 && return "$1"
}

run() {
  case $1 in
  prepare) stage prepare "set-up: tools that are not built yet" prepare ;;
  fmt) stage fmt "formatting" formatting ;;
  clippy) stage clippy "lints" lints ;;
  image) stage image "image and lab" build_image ;;
  rust) stage rust "unit, property and kernel tests" rust_tests ;;
  lab) stage lab "lab: two at once, interrupted, gone without a trace" lab_tests ;;
  storage) stage storage "storage in machines with device-mapper: LVM, csi-sanity, power failures" storage_tests ;;
  chart) stage chart "chart tests" chart_tests ;;
  cluster) stage cluster "real cluster: overlay over two subnets, restart of a node, upstream's tests, policy's too, removal" cluster_tests ;;
  containerd2) stage containerd2 "real cluster: direct routes, containerd 2, kube-proxy in iptables mode" on_containerd_2 ;;
  *)
    echo "e2e/test.sh: unknown stage $1" >&2
    exit 2
    ;;
  esac
}

if [ $# -eq 0 ]; then
  set -- prepare fmt clippy image rust storage chart lab cluster containerd2
fi
exec 3>&1
for name in "$@"; do
  run "$name"
done

for short in "${failed[@]}"; do
  echo "== $short failed: what it said of that, and its last lines; all of it: $log/$short"
  grep -aE 'FAILED|panicked at|^error' "$log/$short" | tail -n 8 | cut -c -200
  tail -n 10 "$log/$short" | cut -c -200
done
echo "stages, $((SECONDS - start)) s in all; failed: ${failed[*]:-none}"
echo "$passed passed, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ]
