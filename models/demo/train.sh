#!/bin/sh
# Make models/demo.gguf anew, from nothing: the vocabulary, the training, the export.
#   train.sh [MINUTES] [WORK_FOLDER]
# Needs Debian's python3-torch python3-numpy python3-regex libopenblas0-pthread. Stopped half-way, it goes on when called again.
set -e
minutes=${1:-90}
here=$(cd "$(dirname "$0")" && pwd)
work=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/smollm3-demo}
python=/usr/bin/python3
export OMP_WAIT_POLICY=passive
mkdir -p "$work"
[ -e "$work/vocab.json" ] || "$python" "$here/vocabulary.py" "$work/vocab.json"
"$python" "$here/train.py" --work "$work" --minutes "$minutes"
"$python" "$here/export.py" "$work" "$here/../demo.gguf"
