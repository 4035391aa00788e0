"""Runs the program under test in an environment of its own: no model, no history, no settings of the user."""
import atexit
import os
import shutil
import subprocess
import tempfile

PROGRAM = os.environ["SMOLLM3_PROGRAM"]
HANGS_AFTER = 300  # seconds: nothing takes as long, under sanitizers and on a busy machine either
folder = tempfile.mkdtemp(prefix="smollm3-cli-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)


def path(name):
    return os.path.join(folder, name)


def environment(**changes):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "SMOLLM3_MODEL"))}
    env.update(HOME=folder, LC_ALL="C.UTF-8", TERM="xterm")
    env.update(changes)
    return env


def run(*arguments, input=b"", env=None, **options):
    """The finished program: returncode, stdout and stderr in bytes."""
    if "stdin" not in options:
        options["input"] = input
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([PROGRAM, *arguments], stderr=subprocess.PIPE, env=env or environment(), timeout=HANGS_AFTER, **options)


def start(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([PROGRAM, *arguments], env=environment(), **options)


_micro = None


def micro():
    """A small random model, made once."""
    global _micro
    if _micro is None:
        _micro = path("micro.gguf")
        run("--quiet", "synth", "--shape", "micro", "--out", _micro).check_returncode()
    return _micro


def endless():
    """The same without any token that ends an answer, or begins a thought or a call in it: it talks until it is stopped."""
    file = path("endless.gguf")
    if not os.path.exists(file):
        with open(micro(), "rb") as stream:
            data = stream.read()
        for name, other in ((b"<|im_end|>", b"<|im_xxx|>"), (b"<|end_of_text|>", b"<|xxx_of_text|>"),
                            (b"tokenizer.ggml.eos_token_id", b"tokenizer.ggml.xxx_token_id"), (b"<think>", b"<xxxxx>"),
                            (b"</think>", b"</xxxxx>"), (b"<tool_call>", b"<xxxx_call>")):
            assert data.count(name) == 1
            data = data.replace(name, other)
        with open(file, "wb") as stream:
            stream.write(data)
    return file


def expect_error(test, result, code, *words):
    """The contract for every failure: the code, and one line that begins with the program's name."""
    text = result.stderr.decode()
    test.assertEqual(result.returncode, code, text)
    test.assertRegex(text, r"\Asmollm3: [^\n]+\n\Z")
    for word in words:
        test.assertIn(word, text)
