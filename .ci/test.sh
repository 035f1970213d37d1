#!/usr/bin/env bash
# Installs what is missing and passes all checks: format, lints, docs, tests, benches that build.
# Ends with a line `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")/.."
.ci/setup.sh || { echo "0 passed, 1 failed"; exit 1; }
# OpenMP inside OpenCV thrashes when the tests share the cores.
export OMP_NUM_THREADS=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

check() {
  echo "== $*"
  "$@" || { failed=$((failed + 1)); echo "FAILED: $*"; }
}
tests() {
  echo "== cargo test $*"
  # One profile for everything, so that nothing is compiled twice.
  cargo test --release "$@" 2>&1 | tee -a "$log" || { echo "FAILED: cargo test $*"; grep -q '^test result: FAILED' "$log" || failed=$((failed + 1)); }
}
check cargo fmt --check
tests --features train
check cargo clippy --release --all-targets --features train -- -D warnings
check env RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --features train --quiet
check cargo bench --no-run --quiet --features train

sum() { grep -oE "[0-9]+ $1" "$log" | awk '{n += $1} END {print n + 0}'; }
failed=$((failed + $(sum failed)))
echo "$(sum passed) passed, $failed failed"
[ "$failed" = 0 ]
