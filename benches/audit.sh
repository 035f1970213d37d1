#!/usr/bin/env bash
# How well the audit tells swapped faces from real ones, for each way to make a composite: area under the ROC curve over
# the faces of all clips, and what share of them scores above 0.5.
#
#   benches/audit.sh FACESWAP SEAM_NETWORK IDENTITY FRAMES CLIP...
#
# The first FRAMES frames of each clip are swapped with IDENTITY. The real ones go through the same encoder, so that
# nothing can be told from that. Give people whom the network was not trained on.
set -eu
program=${1:?usage: audit.sh FACESWAP SEAM_NETWORK IDENTITY FRAMES CLIP...}; network=${2:?}; identity=${3:?}; frames=${4:?}; shift 4
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

# The scores of all faces of a clip: a face's score stands below its track's number.
scores() {
    "$program" audit "$1" --seam-network "$network" --quiet --json - |
        awk -F': |,' '/"seam":/ && before ~ /"track":/ {print $2} {before = $0}'
}

# Label and score of each face, sorted by score, to the area under the curve (Mann and Whitney); equal scores count half.
area() {
    sort -g -k2,2 | awk '
        function flush() { won += pos * (below + neg / 2); below += neg; n += pos; pos = neg = 0 }
        $2 != last { flush(); last = $2 }
        { if ($1) pos++; else neg++ }
        END { flush(); if (n * below) printf "%.3f", won / (n * below); else printf "-" }'
}

share() { awk '$1 > 0.5 {n++} END {printf "%.0f %%", NR ? 100 * n / NR : 0}'; }

for clip in "$@"; do
    name=$(basename "$clip")
    part=(--trim-frame-end "$frames" --quiet --overwrite --no-resume)
    "$program" "$clip" --identity none "${part[@]}" -o "$work/real_$name"
    scores "$work/real_$name" >> "$work/real.txt"
    for how in paste feather poisson multiband; do
        "$program" "$clip" --identity "$identity" --blend "$how" "${part[@]}" -o "$work/fake_$name"
        scores "$work/fake_$name" >> "$work/$how.txt"
        rm "$work/fake_$name"
    done
    rm "$work/real_$name"
done

echo "| | faces | AUC | above 0.5 |"
echo "|---|---|---|---|"
echo "| real | $(wc -l < "$work/real.txt") | | $(share < "$work/real.txt") |"
for how in paste feather poisson multiband; do
    auc=$( { sed 's/^/0 /' "$work/real.txt"; sed 's/^/1 /' "$work/$how.txt"; } | area)
    echo "| $how | $(wc -l < "$work/$how.txt") | $auc | $(share < "$work/$how.txt") |"
done
