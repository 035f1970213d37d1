#!/usr/bin/env bash
# Kills a run at random moments, again and again, and goes on with the same command: the result must have the same
# frames as one undisturbed run, and the journal must be readable at every moment.
#   tests/kill.sh [KILLS=200] [BINARY=target/release/faceswap] [CLIP] [IDENTITY=none]
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${1:-200} binary=$(realpath "${2:-${CARGO_TARGET_DIR:-target}/release/faceswap}") clip=${3:-} identity=${4:-none}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if [ -z "$clip" ]; then
  clip=$dir/in.mp4
  ffmpeg -nostdin -v error -f lavfi -i testsrc2=size=320x180:rate=30000/1001:duration=20 -f lavfi -i sine=duration=20 \
    -c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -c:a aac "$clip"
fi
swap=("$binary" "$clip" -i "$identity" --segment-frames 20 --progress plain -o)
frames() { ffmpeg -nostdin -v error -i "$1" -f framemd5 -; }

start=$(date +%s%N)
"${swap[@]}" "$dir/whole.mp4" 2>/dev/null
usual_ms=$((($(date +%s%N) - start) / 1000000))
frames "$dir/whole.mp4" >"$dir/whole.md5"

check() {
  frames "$dir/out.mp4" | cmp -s - "$dir/whole.md5" || { echo "FAILED after $n kills: other frames"; exit 1; }
  rm "$dir/out.mp4"
}
n=0 whole=0
while ((n < kills)); do
  "${swap[@]}" "$dir/out.mp4" 2>"$dir/told" &
  pid=$!
  sleep "$(awk -v ms=$((RANDOM * usual_ms / 32768)) 'BEGIN { print ms / 1000 }')"
  # By job, not by number: a run that has ended may have left its number to somebody else.
  kill -9 %% 2>/dev/null || true
  if wait $pid 2>/dev/null; then status=0; else status=$?; fi
  case $status in
    0) ;;
    137) n=$((n + 1)) ;;
    *) echo "FAILED after $n kills: exit code $status"; cat "$dir/told"; exit 1 ;;
  esac
  if [ -e "$dir/out.mp4" ]; then whole=$((whole + 1)); check; fi
done
"${swap[@]}" "$dir/out.mp4" 2>/dev/null
check
[ -z "$(find "$dir" -name '.*.faceswap')" ] || { echo "FAILED: work is left behind"; exit 1; }
echo "$kills kills, $((whole + 1)) whole results, all with the same frames"
