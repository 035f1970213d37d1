#!/usr/bin/env bash
# What a GPU machine does with a training, within some five minutes: whether its losses are the CPU's, how long a step takes
# at every side, how much memory that needs, and how many faces a second a training draws and learns from. With a binary
# that has the provider, also swaps on the CPU and on CUDA.
# Usage: benches/gpu.sh SET_A SET_B [DEVICE], two face sets of `faceswap extract --side 288` or larger; DEVICE is libtorch-cuda
# unless named. FACESWAP names the binary, OUT a folder for what is written.
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
a=$(realpath "$1") b=$(realpath "$2") device=${3:-libtorch-cuda} faceswap=${FACESWAP:-target/release/faceswap} out=${OUT:-$(mktemp -d)}
cd "$(dirname "$0")/.."
train=("$faceswap" train --faces "A=$a" --faces "B=$b" --progress plain)

echo "== losses of the shipped identities, the same 50 batches on cpu and on $device"
# At the smallest rate nothing moves, so both see the same weights.
for where in cpu "$device"; do
    printf '%-14s' "$where"
    "${train[@]}" --init models/identities --guides --levels 256:50 --batch 1 --learning-rate 1e-7 --seed 5 \
        --device "$where" -o "$out/equal.$where" 2>&1 | grep -E '^(step 50/|error)' | sed 's/.*samples.s, //'
done

for preset in laptop studio cinema; do
    echo "== $preset, 4 faces of each: milliseconds of a step at every side, and the memory that was taken in the end"
    rm -rf "$out/$preset"
    "${train[@]}" --preset "$preset" --for 1m --batch 4 --device "$device" -o "$out/$preset" > "$out/$preset.log" 2>&1 &
    job=$!
    for _ in $(seq 90); do
        # The plan follows the measurement.
        grep -qE '^(level:|error)' "$out/$preset.log" && break
        sleep 1
    done
    grep -E '^(measured|error|the device)' "$out/$preset.log"
    command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,memory.used --format=csv,noheader
    kill "$job" 2> /dev/null
    wait "$job"
done

echo "== a training of a minute from the shipped identities, 16 faces of each"
rm -rf "$out/minute"
"${train[@]}" --init models/identities --guides --side 256 --for 1m --batch 16 --device "$device" -o "$out/minute" 2>&1 |
    grep -E '^(measured|step|error|done|stopped)' | tail -4

if "$faceswap" bench assets/demo.mp4 --execution-providers cuda > "$out/cuda.txt" 2>&1; then
    echo "== a swap on the CPU, and on CUDA"
    "$faceswap" bench assets/demo.mp4 --execution-providers cpu
    cat "$out/cuda.txt"
else
    echo "== no swap on CUDA: $(tail -1 "$out/cuda.txt")"
fi
