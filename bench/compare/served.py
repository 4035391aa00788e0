"""`smollm3 serve` as those who ask it feel it: requests over HTTP, and when each piece of their answers arrives."""
import http.client
import json
import random
import socket
import string
import subprocess
import tempfile
import threading
import time

from timeline import Answer, Ask

PATIENCE = 900  # seconds without a byte after which a test fails

# Nothing may end an answer before its length, or be anything but text.
NEVER = ("<|end_of_text|>", "<|im_end|>", "<|im_start|>", "<think>", "</think>", "<tool_call>", "<code>",
         "<tool_response>")


class Failed(Exception):
    pass


class Request:
    """A POST whose answer is a stream of events."""

    def __init__(self, host: str, port: int, body: dict):
        self._connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        self._connection.connect()
        self._socket = self._connection.sock
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._body = body
        self.cut = False

    def cut_off(self) -> None:
        self.cut = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is over already

    def events(self):
        """(when, what) of each, as it arrives."""
        try:
            self._connection.request("POST", "/v1/chat/completions", json.dumps(self._body),
                                     {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            if response.status != 200:
                raise Failed(f"the server answered {response.status}: {response.read().decode(errors='replace')[:500]}")
            text = b""
            while piece := response.read1(1 << 16):
                now = time.monotonic()
                *whole, text = (text + piece).split(b"\n\n")
                for event in whole:
                    data = b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
                    if data and data != b"[DONE]":
                        yield now, json.loads(data)
        except (OSError, http.client.HTTPException):
            if not self.cut:
                raise
        finally:
            self._connection.close()


class Pace:
    """Decides when each of a test may ask. Written by the threads of all."""

    def __init__(self, asks: list[Ask]):
        self._asks = asks
        self._changed = threading.Condition()
        self._written = [0] * len(asks)
        self._ended = [False] * len(asks)
        self._failed: Exception | None = None
        self.start = time.monotonic()

    def wait_for_turn(self, i: int) -> None:
        time.sleep(max(0.0, self.start + self._asks[i].at - time.monotonic()))
        with self._changed:
            self._changed.wait_for(lambda: self._failed or self._may_ask(i))

    def wait_for_all(self) -> None:
        """Of those that are not in the background."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or all(
                ended for ended, ask in zip(self._ended, self._asks) if not ask.background))
            if self._failed:
                raise self._failed

    def wrote(self, i: int) -> None:
        with self._changed:
            self._written[i] += 1
            self._changed.notify_all()

    def ended(self, i: int) -> None:
        with self._changed:
            self._ended[i] = True
            self._changed.notify_all()

    def failed(self, error: Exception) -> None:
        with self._changed:
            self._failed = self._failed or error
            self._changed.notify_all()

    def _may_ask(self, i: int) -> bool:
        return all(self._written[before] >= self._asks[i].after if self._asks[before].background
                   else self._ended[before] or not self._asks[i].ended for before in range(i))


class Server:
    """Runs while the `with` lasts."""

    def __init__(self, program, model, threads: int, context: int, options: list[str], seed: str):
        self._random = random.Random(seed)
        self._never = never(program, model)
        self._errors = tempfile.TemporaryFile("w+")
        command = [program, "--quiet", "--model", model, "--threads", threads, "--ctx", context, *options, "serve",
                   "--port", 0]
        self._process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=self._errors,
                                         text=True)
        try:
            line = self._process.stdout.readline()
            if " is at http://" not in line:
                raise Failed(f"the server did not start: {self._complaint()}")
            self._host, port = line.rsplit("http://", 1)[1].strip().rstrip("/").rsplit(":", 1)
            self._port = int(port)
            self._learn_to_count()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def test(self, asks: list[Ask]) -> list[Answer]:
        self._wait_until_idle()
        bodies = [self._body(ask.prompt, ask.most) for ask in asks]
        requests: list[Request | None] = [None] * len(asks)
        results: list = [None] * len(asks)
        pace = Pace(asks)

        def one(i: int) -> None:
            try:
                pace.wait_for_turn(i)
                asked = time.monotonic()
                requests[i] = Request(self._host, self._port, bodies[i])
                results[i] = self._listen(requests[i], asked, lambda: pace.wrote(i))
                if not asks[i].background and not results[i]["pieces"]:
                    raise Failed("an answer is empty")
                pace.ended(i)
            except Exception as error:  # reported by whoever waits for all
                pace.failed(error)

        threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(len(asks))]
        for thread in threads:
            thread.start()
        try:
            pace.wait_for_all()
        except Exception as error:
            raise Failed(f"{error} {self._complaint()}".strip()) from error
        finally:
            for request in requests:
                if request:
                    request.cut_off()
        for thread in threads:
            thread.join(30)
        return answers(results, pace.start)

    def _body(self, prompt: int, most: int) -> dict:
        letters = random_letters(self._random, prompt - self._overhead)
        return {"messages": [{"role": "system", "content": self._between.join(letters) + "/system_override"},
                             {"role": "user", "content": "?"}],
                "max_tokens": most, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05,
                "seed": self._random.randrange(1 << 31), "logit_bias": self._never, "stream": True,
                "stream_options": {"include_usage": True}}

    def _listen(self, request: Request, asked: float, wrote) -> dict:
        result = {"asked": asked, "pieces": [], "usage": None}
        for now, event in request.events():
            if "error" in event:
                raise Failed(f"the server failed: {event['error']}")
            for choice in event.get("choices", []):
                delta = choice.get("delta", {})
                text = (delta.get("content") or "") + (delta.get("reasoning_content") or "")
                if text:
                    result["pieces"].append((now, len(text)))
                    wrote()
            result["usage"] = event.get("usage") or result["usage"]
        result["end"] = time.monotonic()
        return result

    def _learn_to_count(self) -> None:
        """How many tokens a prompt has besides its letters, by asking; this warms the server up, too."""
        self._overhead = 0
        # With merges "a b c" has three tokens; without, "abc" has.
        for self._between in (" ", ""):
            short, long = (self._counted(letters) for letters in (8, 40))
            if long - short == 32:
                self._overhead = short - 8
                return
        raise Failed("no text is known whose tokens can be counted with this vocabulary")

    def _counted(self, letters: int) -> int:
        body = self._body(letters, 2)
        usage = self._listen(Request(self._host, self._port, body), 0, lambda: None)["usage"]
        if not usage:
            raise Failed("the server tells no usage")
        return usage["prompt_tokens"]

    def _wait_until_idle(self) -> None:
        for _ in range(600):
            connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
            connection.request("GET", "/health")
            health = json.loads(connection.getresponse().read())
            connection.close()
            if not health.get("running") and not health.get("waiting"):
                return
            time.sleep(0.1)
        raise Failed("the server does not come to rest")

    def _complaint(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-1000:].strip()


def never(program, model) -> dict[str, float]:
    """The logit bias that keeps answers from ending."""
    shown = subprocess.run([str(program), "inspect", "--json", str(model)], capture_output=True, text=True)
    if shown.returncode != 0:
        raise Failed(shown.stderr.strip())
    header = json.loads(shown.stdout)["metadata"]
    ids = {id for id, token in enumerate(header["tokenizer.ggml.tokens"]) if token in NEVER}
    ids |= {header[key] for key in ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id") if key in header}
    return {str(id): -100 for id in sorted(ids)}


def random_letters(source: random.Random, count: int) -> list[str]:
    return source.choices(string.ascii_lowercase, k=max(1, count))


def answers(results: list[dict], start: float) -> list[Answer]:
    """A piece has as many of its answer's tokens as it has of its characters; of an answer that was cut off, as many as
    in those of the test that were not."""
    whole = [r for r in results if r["usage"]]
    characters = sum(length for r in whole for _, length in r["pieces"])
    usual = sum(r["usage"]["completion_tokens"] for r in whole) / characters if characters else 1
    found = []
    for r in results:
        if not r["pieces"]:
            raise Failed("an answer is empty")
        each = usual
        if r["usage"]:
            each = r["usage"]["completion_tokens"] / sum(length for _, length in r["pieces"])
        usage = r["usage"] or {}
        found.append(Answer(r["asked"] - start, r["end"] - start, [(t - start, n * each) for t, n in r["pieces"]],
                            usage.get("prompt_tokens"),
                            (usage.get("prompt_tokens_details") or {}).get("cached_tokens")))
    return found
