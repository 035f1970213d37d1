#!/usr/bin/env bash
# Installs what is missing to build and run faceswap on Debian 12 (with Rust 1.95): system packages with apt, and
# the ONNX Runtime library out of its PyPI wheel into vendor/onnxruntime. Says what it does; safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."

ORT_VERSION=1.31.1
packages=(
  build-essential pkg-config clang libclang-dev ffmpeg
  libavcodec-dev libavformat-dev libavutil-dev libswscale-dev
  libopencv-core-dev libopencv-imgproc-dev libopencv-calib3d-dev libopencv-photo-dev libopencv-video-dev
  python3-pip unzip
)
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
if ((${#missing[@]})); then
  echo "set-up: installing ${missing[*]}"
  sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "set-up: all system packages are installed"
fi

command -v cargo >/dev/null || { echo "set-up: cargo is missing; install Rust 1.95 or newer with rustup, then repeat"; exit 1; }

lib=vendor/onnxruntime/libonnxruntime.so.$ORT_VERSION
if [ -e "$lib" ]; then
  echo "set-up: ONNX Runtime $ORT_VERSION is in vendor/onnxruntime"
else
  echo "set-up: fetching ONNX Runtime $ORT_VERSION (wheel of 24 MB) into vendor/onnxruntime"
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  # The wheel of any CPython version holds the same library; 3.11 is Debian 12's.
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
    -d "$tmp" "onnxruntime==$ORT_VERSION"
  unzip -q -j "$tmp"/onnxruntime-*.whl "onnxruntime/capi/libonnxruntime.so.$ORT_VERSION" onnxruntime/LICENSE \
    onnxruntime/ThirdPartyNotices.txt -d "$tmp/lib"
  mkdir -p vendor/onnxruntime
  mv "$tmp/lib"/* vendor/onnxruntime/
fi
