#!/usr/bin/env python3
"""How fast a server is with many conversations: how soon it is ready, and how long listing, opening and searching take
while it writes answers.

    bench/sessions.py [--program build/release/smollm3] [--conversations 10000] [--messages 50] [--answers 16]

Makes a random model and a folder of conversations of random words, drawn as words are in a language (by Zipf's law), in a
temporary folder, and prints milliseconds.
"""
import argparse
import http.client
import itertools
import pathlib
import random
import sqlite3
import subprocess
import tempfile
import time
import urllib.parse

WORDS = [a + b for a in ("ka", "lo", "mi", "nu", "ra", "so", "ti", "ve") for b in
         (x + y for x in "bdfgklmnprstvz" for y in ("a", "e", "i", "o", "u", "an", "el", "is", "or", "um"))]
WORDS += [a + b for a, b in itertools.product(WORDS[:160], WORDS[:160])]
WEIGHTS = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(WORDS))))


def text(count: int) -> str:
    return " ".join(random.choices(WORDS, cum_weights=WEIGHTS, k=count))


class Server:
    def __init__(self, program: str, model: str, data: str):
        began = time.monotonic()
        self.process = subprocess.Popen([program, "--quiet", "--model", model, "--ctx", "16384", "serve", "--port", "0",
                                         "--data", data], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.get("/")
        self.ready = time.monotonic() - began

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()

    def get(self, path: str) -> float:
        began = time.monotonic()
        status, _ = self.ask("GET", path)
        assert status == 200, (path, status)
        return (time.monotonic() - began) * 1000

    def stop(self):
        self.process.terminate()
        self.process.wait()


def fill(data: str, conversations: int, messages: int, long: int) -> list[str]:
    database = sqlite3.connect(data + "/conversations.sqlite")
    ids = []
    for n in range(conversations + 1):
        count = long if n == conversations else messages
        one = f"{random.getrandbits(128):032x}"
        ids.append(one)
        now = 1_700_000_000_000 + n * 60_000
        database.execute("insert into conversations (id, account, title, named, created, changed, pinned, archived, deleted, "
                         "shown) values (?, 'local', ?, 1, ?, ?, 0, 0, 0, ?)", (one, text(6), now, now, count))
        for number in range(1, count + 1):
            answers = number % 2 == 0
            said = text(60 if answers else 15)
            row = database.execute(
                "insert into messages (conversation, number, parent, role, condition, thinking, text, asked, ended, created)"
                " values (?, ?, ?, ?, 'whole', '', ?, ?, ?, ?)",
                (one, number, number - 1, "assistant" if answers else "user", said, "{}" if answers else "",
                 '{"finish":"stop","usage":{}}' if answers else "", now)).lastrowid
            database.execute("insert into search (rowid, body, account) values (?, ?, 'local')", (row, said))
            if answers:
                database.execute("insert into answers (conversation, number, settings, tokenizer, whole, prompt, tokens, "
                                 "vain_resumes, epoch) values (?, ?, '{}', '', '', '', ?, 0, 0)", (one, number, "AAAB" * 80))
    database.commit()
    return ids


def told(name: str, times: list[float]):
    times.sort()
    print(f"{name:34} median {times[len(times) // 2]:7.1f} ms   95th percentile {times[len(times) * 95 // 100]:7.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/smollm3")
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=50)
    parser.add_argument("--answers", type=int, default=16)
    options = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        model, data = folder + "/model.gguf", folder + "/data"
        subprocess.run([options.program, "synth", "--shape", "tiny", "--out", model], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        bytes_of = bytearray(pathlib.Path(model).read_bytes())
        for name in (b"<|im_end|>", b"<|end_of_text|>", b"tokenizer.ggml.eos_token_id", b"<think>", b"</think>"):
            at = bytes_of.find(name)
            bytes_of[at + 2:at + 5] = b"xxx"  # it never stops
        pathlib.Path(model).write_bytes(bytes_of)
        Server(options.program, model, data).stop()
        ids = fill(data, options.conversations, options.messages, 2000)
        size = sum(file.stat().st_size for file in pathlib.Path(data).iterdir())
        print(f"{options.conversations} conversations of {options.messages} messages: {size / 2**20:.0f} MiB")
        server = Server(options.program, model, data)
        print(f"ready, with its first page, after {server.ready * 1000:.0f} ms")
        for n in range(options.answers):
            status, _ = server.ask("POST", f"/c/{n:032x}/messages", "text=Go+on&after=0")
            assert status == 200, status
        time.sleep(1)
        told("list", [server.get("/") for _ in range(100)])
        told("open", [server.get("/c/" + random.choice(ids[:-1])) for _ in range(100)])
        told("open one of 2,000 messages", [server.get("/c/" + ids[-1]) for _ in range(20)])
        queries = [random.choices(WORDS, cum_weights=WEIGHTS)[0] for _ in range(100)]
        told("search a word", [server.get("/search?q=" + urllib.parse.quote(query)) for query in queries])
        pairs = [text(2) for _ in range(100)]
        told("search two words", [server.get("/search?q=" + urllib.parse.quote(query)) for query in pairs])
        server.stop()


main()
