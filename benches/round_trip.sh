#!/usr/bin/env bash
# The way there and back with the swap off: bit-exactness, memory and time beside the ffmpeg command line.
#
#   benches/round_trip.sh FACESWAP exact CLIP...    frames, times and sound packets of each clip through ffv1
#   benches/round_trip.sh FACESWAP cost CLIP [N [TIMES]]    N frames at 1080p (default 300), a third at 2160p, and TIMES (8) as many
set -eu
program=${1:?usage: round_trip.sh FACESWAP exact|cost CLIP..}; what=${2:?}; shift 2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

frames() { ffmpeg -nostdin -v error -noautorotate -i "$1" -map 0:V:0 -fps_mode passthrough -f framemd5 - | grep -v '^#' | awk -F', *' '{print $NF}'; }
times() { ffprobe -v error -select_streams V:0 -show_entries frame=best_effort_timestamp_time -of csv=p=0 "$1" | cut -d, -f1 | grep .; }
sound() { ffprobe -v error -select_streams a -show_data_hash md5 -show_entries packet=data_hash -of csv=p=0 "$1" | grep -o 'MD5:[0-9a-f]*'; }
sound_times() { ffprobe -v error -select_streams a -show_entries packet=pts_time -of csv=p=0 "$1" | grep -oE '^-?[0-9.]+'; }

# Equal up to one shift for all streams: sound that begins before 0 is hidden in MP4 and moves the whole file elsewhere.
# 2 microseconds are the rounding of what ffprobe prints; streams round the shift to their own ticks, at most 20.
same_times() { # BEFORE AFTER (lines of a letter for the stream and seconds)
    paste -d' ' "$1" "$2" | awk 'function off(x) {return x < 0 ? -x : x}
        NF != 4 || $1 != $3 {bad = 1; exit} {d = $4 - $2} !($1 in own) {own[$1] = d; if (NR == 1) all = d}
        off(d - own[$1]) > 2e-6 || off(d - all) > 2e-5 {bad = 1; exit} END {exit bad}'
}
all_times() { times "$1" | sed 's/^/v /'; (sound_times "$1" || true) | sed 's/^/a /'; }

# NUT keeps every stream's ticks; Matroska would round to milliseconds.
exact() {
    local good=0 n=0 verdict
    for clip in "$@"; do
        n=$((n + 1))
        verdict=ok
        "$program" --identity none --output-video-encoder ffv1 --quiet --no-resume -o "$work/out.nut" --overwrite "$clip" || verdict="exit code $?"
        cmp -s <(frames "$clip" | tee "$work/frames") <(frames "$work/out.nut") || verdict="frames differ"
        cmp -s <(sound "$clip" | tee "$work/sound") <(sound "$work/out.nut") || verdict="sound differs"
        same_times <(all_times "$clip") <(all_times "$work/out.nut") || verdict="times differ"
        [ "$verdict" = ok ] && good=$((good + 1))
        echo "$(basename "$clip"): $(wc -l <"$work/frames") frames, $(wc -l <"$work/sound") sound packets: $verdict"
    done
    echo "$good of $n clips come back exactly"
    [ "$good" = "$n" ]
}

# Seconds and peak memory (MB) of a command and the processes that it starts; what they share counts once. Looked at 20
# times a second.
measured() { /usr/bin/env python3 - "$@" <<'P'
import glob, subprocess, sys, time
def parents():
    for path in glob.glob("/proc/[0-9]*/stat"):
        try: text = open(path).read()
        except OSError: continue
        yield int(path.split("/")[2]), int(text.rsplit(")", 1)[1].split()[1])
def kilobytes(pid):
    try: return next(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:"))
    except (OSError, StopIteration): return 0
start, peak = time.time(), 0
run = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while run.poll() is None:
    own = [run.pid] + [pid for pid, parent in parents() if parent == run.pid]
    peak = max(peak, sum(map(kilobytes, own)))
    time.sleep(0.05)
if run.returncode: sys.exit(f"{sys.argv[1:]} ends with {run.returncode}")
print(f"{time.time() - start:.2f} {peak / 1024:.0f}")
P
}

# The long clip is the short one again and again, copied as packets. The program looks less far ahead at 2160p than the
# preset does; ffmpeg is told the same.
cost() {
    local clip=$1 n=${2:-300} times=${3:-8} ahead
    for height in 1080 2160; do
        [ "$height" = 2160 ] && n=$((n / 3))
        ahead=""; [ "$height" = 2160 ] && ahead="-x264-params rc-lookahead=6:sync-lookahead=0"
        ffmpeg -nostdin -v error -y -stream_loop -1 -i "$clip" -frames:v "$n" -an -vf "scale=-2:$height" \
            -c:v libx264 -preset ultrafast -crf 26 -pix_fmt yuv420p "$work/short.mp4"
        ffmpeg -nostdin -v error -y -stream_loop $((times - 1)) -i "$work/short.mp4" -c copy "$work/long.mp4"
        for length in short long; do
            read -r ours memory < <(measured "$program" --identity none --quiet --overwrite --no-resume \
                --output-video-encoder libx264 --output-video-preset veryfast -o "$work/ours.mp4" "$work/$length.mp4")
            # shellcheck disable=SC2086
            read -r theirs their_memory < <(measured ffmpeg -nostdin -v error -y -i "$work/$length.mp4" -c:v libx264 \
                -crf 16 -preset veryfast $ahead "$work/theirs.mp4")
            echo "${height}p, $length: $ours s and $memory MB; ffmpeg $theirs s and $their_memory MB; ratio" \
                "$(awk "BEGIN{printf \"%.2f\", $ours / $theirs}")"
        done
    done
}

"$what" "$@"
