#!/usr/bin/env bash
# Scores every way to make a composite on rendered clips whose exact answer is known, with the network's faces and with
# the rendered ones in their place. Usage: composite.sh FOLDER [EVERY], FOLDER/0 .. FOLDER/3 as the generator makes them.
set -euo pipefail
folder=$1 every=${2:-20}
faceswap=${FACESWAP:-target/release/faceswap}
host=(A B C A) face=(B A D B)
for k in 0 1 2 3; do
    clip="$folder/$k" h=${host[k]} f=${face[k]}
    scored=(--target "$clip/target_$h.mp4" --truth "$clip/hybrid_${f}_face_on_$h.mp4" --region "$clip/region.mp4")
    if [ "$f" != D ]; then
        echo "clip $k, $h to $f, the network's faces:"
        "$faceswap" eval "${scored[@]}" --identity "$f" --strategies --every "$every"
    fi
    echo "clip $k, $h to $f, rendered faces:"
    "$faceswap" eval "${scored[@]}" --rendered "$clip/truth_$f.mp4" --strategies --every "$every"
done
