#!/usr/bin/env bash
# The way there and back with the swap off: bit-exactness, memory and time beside the ffmpeg command line.
#
#   benches/round_trip.sh FACESWAP exact CLIP...    frames, times and sound packets of each clip through ffv1
#   benches/round_trip.sh FACESWAP cost CLIP [N]    N frames (default 200) at 1080p and 2160p, and 8 times as many
set -eu
program=${1:?usage: round_trip.sh FACESWAP exact|cost CLIP..}; what=${2:?}; shift 2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

frames() { ffmpeg -nostdin -v error -noautorotate -i "$1" -map 0:V:0 -fps_mode passthrough -f framemd5 - | grep -v '^#' | awk -F', *' '{print $NF}'; }
times() { ffprobe -v error -select_streams V:0 -show_entries frame=best_effort_timestamp_time -of csv=p=0 "$1" | cut -d, -f1 | grep .; }
sound() { ffprobe -v error -select_streams a -show_data_hash md5 -show_entries packet=data_hash -of csv=p=0 "$1" | grep -o 'MD5:[0-9a-f]*'; }

exact() {
    local good=0 n=0
    for clip in "$@"; do
        n=$((n + 1))
        "$program" --identity none --output-video-encoder ffv1 --quiet -o "$work/out.mkv" --overwrite "$clip"
        verdict=ok
        cmp -s <(frames "$clip") <(frames "$work/out.mkv") || verdict="frames differ"
        cmp -s <(sound "$clip" || true) <(sound "$work/out.mkv" || true) || verdict="sound differs"
        # Matroska counts milliseconds, and can't begin before 0: equal up to one shift and half a tick.
        paste <(times "$clip") <(times "$work/out.mkv") | awk 'NR==1{d=$2-$1} {e=$2-$1-d; if (e<0) e=-e; if (e>0.00101 || NF!=2) bad=1} END{exit bad}' || verdict="times differ"
        [ "$verdict" = ok ] && good=$((good + 1))
        echo "$(basename "$clip"): $verdict"
    done
    echo "$good of $n clips come back exactly"
    [ "$good" = "$n" ]
}

# Seconds and peak memory (MB) of a command.
measured() { /usr/bin/env python3 - "$@" <<'P'
import resource, subprocess, sys, time
start = time.time(); subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(f"{time.time() - start:.2f} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f}")
P
}

cost() {
    local clip=$1 n=${2:-200}
    for height in 1080 2160; do
        for frames in "$n" $((8 * n)); do
            [ "$height" = 2160 ] && frames=$((frames / 4))
            ffmpeg -nostdin -v error -y -stream_loop -1 -i "$clip" -frames:v "$frames" -an -vf "scale=-2:$height" \
                -c:v libx264 -preset ultrafast -pix_fmt yuv420p "$work/in.mp4"
            read -r ours memory < <(measured "$program" --identity none --quiet --overwrite --output-video-encoder libx264 \
                --output-video-preset veryfast -o "$work/ours.mp4" "$work/in.mp4")
            read -r theirs their_memory < <(measured ffmpeg -nostdin -v error -y -i "$work/in.mp4" -c:v libx264 -crf 16 \
                -preset veryfast "$work/theirs.mp4")
            echo "${height}p, $frames frames: $ours s and $memory MB; ffmpeg $theirs s and $their_memory MB; ratio" \
                "$(awk "BEGIN{printf \"%.2f\", $ours / $theirs}")"
        done
    done
}

"$what" "$@"
