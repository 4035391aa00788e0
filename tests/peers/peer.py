"""llama.cpp as a peer to measure against: finds node-llama-cpp's prebuilt libraries, compiles llama_cpp.cpp for them.

The npm package is looked for under $SMOLLM3_NODE_MODULES, else node_modules of the repository:
  npm install --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("SMOLLM3_SHARED", ROOT.parent / "shared"))
MODULES = pathlib.Path(os.environ.get("SMOLLM3_NODE_MODULES", ROOT / "node_modules"))
SKIPPED = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def library_folder():
    folder = MODULES / "@node-llama-cpp/linux-x64/bins/linux-x64"
    if not folder.is_dir():
        skip(f"node-llama-cpp is not installed under {MODULES} (set SMOLLM3_NODE_MODULES)")
    return folder


def make_model_tool():
    tool = SHARED / "tools/make_model.py"
    vocab = SHARED / "data/llama-bpe-vocab.gguf"
    if not tool.is_file() or not vocab.is_file():
        skip(f"{tool} or {vocab} is missing (set SMOLLM3_SHARED)")
    return tool, vocab


def make_model(out, *options):
    tool, vocab = make_model_tool()
    subprocess.run(["/usr/bin/python3", tool, "--vocab", vocab, "--out", out, *map(str, options)], check=True,
                   stderr=subprocess.DEVNULL)
    return out


def compile_peer(into, code=pathlib.Path(__file__).with_name("llama_cpp.cpp")):
    """Path of the program compiled from a file and the folder of its libraries."""
    libraries = library_folder()
    source = MODULES / "node-llama-cpp/llama/llama.cpp"
    if not (source / "include/llama.h").is_file():
        skip(f"{source} has no headers: node-llama-cpp was installed without them "
             "(its install script fetches them; so does `git clone gitRelease.bundle llama.cpp` beside the bundle)")
    program = pathlib.Path(into) / code.stem
    llama = sorted(libraries.glob("libllama.v*.so"))[0]
    ggml = sorted(libraries.glob("libggml.v*.so"))[0]
    subprocess.run(["c++", "-std=c++20", "-O2", "-o", program, code, f"-I{source / 'include'}",
                    f"-I{source / 'ggml/include'}", llama, ggml,
                    libraries / "libggml-base.so", f"-Wl,-rpath,{libraries}"], check=True)
    return program, libraries


def version():
    """As in 'v0.5.0': the release of llama.cpp."""
    return re.search(r"libllama\.(v[\d.]+)\.so", sorted(library_folder().glob("libllama.v*.so"))[0].name).group(1)
