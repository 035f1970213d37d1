#!/usr/bin/env bash
# From a fresh clone to a swapped clip: installs what is missing, builds, and swaps assets/demo.mp4 for identity B.
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/setup.sh
echo "demo: building (some minutes the first time)"
cargo build --release --quiet
mkdir -p work
echo "demo: swapping assets/demo.mp4 for identity B"
"${CARGO_TARGET_DIR:-target}/release/faceswap" assets/demo.mp4 --identity "${1:-B}" -o work/demo_B.mp4 --overwrite
echo "demo: look at work/demo_B.mp4"
