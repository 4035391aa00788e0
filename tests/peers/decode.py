#!/usr/bin/env python3
"""What blocks of every type decode to, beside llama.cpp's own decoders, bit for bit.

  decode.py --program build/test/peers_decode
"""
import argparse
import subprocess
import sys

import peer

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--program", required=True)
options = arguments.parse_args()
sys.exit(subprocess.run([options.program, peer.library_folder() / "libggml-base.so"]).returncode)
