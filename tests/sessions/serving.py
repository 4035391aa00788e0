"""What the tests of kept conversations share: a server with a folder of its own, a page that follows its answers, and
what is in its database."""
import atexit
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.parse

PROGRAM = os.environ["SMOLLM3_PROGRAM"]
CHECK_STORE = os.environ["SMOLLM3_CHECK_STORE"]
SANITIZED = os.environ.get("SMOLLM3_SANITIZED", "") not in ("", "0", "OFF")
HANGS_AFTER = 300  # seconds: nothing takes as long, under sanitizers and on a busy machine either
folder = tempfile.mkdtemp(prefix="smollm3-sessions-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)

# What a connection does when the server at its other end is killed.
GONE = (OSError, http.client.HTTPException)

# Its answers begin with thinking, where that is asked for, which ends wherever the model happens to say so.
TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{% endfor %}<|im_start|>assistant
{% if enable_thinking %}<think>
{% endif %}"""


def environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "SMOLLM3_MODEL"))}
    env.update(HOME=folder, LC_ALL="C.UTF-8")
    return env


def new_folder(name):
    return tempfile.mkdtemp(prefix=name + "-", dir=folder)


def random_model(layers):
    """Talks nonsense, of bytes that are often no UTF-8, until the context is full: no token ends its answers."""
    file = os.path.join(folder, f"random-{layers}.gguf")
    template = os.path.join(folder, "template.jinja")
    with open(template, "w") as stream:
        stream.write(TEMPLATE)
    subprocess.run([PROGRAM, "--quiet", "synth", "--shape", "micro", "--layers", str(layers), "--template", template,
                    "--out", file], env=environment(), check=True)
    with open(file, "rb") as stream:
        data = stream.read()
    for name, other in ((b"<|im_end|>", b"<|im_xxx|>"), (b"<|end_of_text|>", b"<|xxx_of_text|>"),
                        (b"tokenizer.ggml.eos_token_id", b"tokenizer.ggml.xxx_token_id"),
                        (b"<tool_call>", b"<xxxx_call>")):
        assert data.count(name) == 1, name
        data = data.replace(name, other)
    with open(file, "wb") as stream:
        stream.write(data)
    return file


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def notice(self):
        """What the page tells of a failure, as text."""
        found = re.search(r'<p class="notice"[^>]*>(.*?)</p>|<p[^>]*>(.*?)</p>', self.body, re.S)
        return re.sub(r"<[^>]+>", "", next(text for text in found.groups() if text)) if found else ""


class Site:
    """The address of servers that come after one another."""

    def __init__(self, port=None):
        self.port = port or free_port()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANGS_AFTER)

    def ask(self, method, path, form=None):
        connection = self.connect()
        try:
            body = urllib.parse.urlencode(form or {}) if method == "POST" else None
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, **form):
        return self.ask("POST", path, form)

    def send(self, conversation, text, after=0, think=True):
        return self.post(f"/c/{conversation}/messages", text=text, after=str(after), **({"think": "1"} if think else {}))


class Server:
    def __init__(self, site, arguments, data, serve=()):
        handle, self.log = tempfile.mkstemp(prefix="log-", dir=folder)
        self.process = subprocess.Popen([PROGRAM, *arguments, "serve", "--port", str(site.port), "--data", data, *serve],
                                        env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=handle)
        os.close(handle)
        atexit.register(self.kill)
        self.line = self.process.stdout.readline().decode()
        if not self.line:
            raise AssertionError(f"the server ended with {self.process.wait()}: {self.said()}")

    def said(self):
        with open(self.log) as file:
            return file.read()

    def kill(self):
        self.process.kill()
        self.wait()
        atexit.unregister(self.kill)

    def wait(self):
        self.process.stdout.close()
        return self.process.wait(timeout=HANGS_AFTER)

    def over(self):
        return self.process.poll() is not None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.wait()
        atexit.unregister(self.kill)
        if code != 0:
            raise AssertionError(f"the server ended with {code}: {self.said()}")


class Page:
    """What a browser makes of the stream that follows an answer, as src/server/fake_page.h."""

    PARTIAL = re.compile(r'<hx-partial hx-target="#a\d+-(\w+)" hx-swap="(\w+)">(.*?)</hx-partial>', re.S)
    BLOCK = re.compile(r'<div class="block" id="a\d+-b(\d+)">(.*)</div>', re.S)
    DETAILS = re.compile(r"<details[^>]*><summary[^>]*>(.*)</summary><div[^>]*>(.*)</div></details>", re.S)

    def __init__(self):
        self.last_id = ""
        self.events = []  # by name
        self.thinking = self.thought = self.outcome = ""
        self.status = "…"
        self.folds = False
        self.blocks = {}

    def take_event(self, event):
        data, name, last_id = [], "", None
        for line in event.split("\n"):
            field, _, value = line.partition(": ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id":
                last_id = value
        if last_id is not None:
            self.last_id = last_id
        if name:
            self.events.append(name)
        elif data:
            for target, how, html in self.PARTIAL.findall("\n".join(data)):
                self.apply(target, how, html)

    def apply(self, target, how, html):
        if target == "text" and how == "innerHTML" and not html:
            self.blocks = {}
        elif target == "text" and how == "beforeend" and (found := self.BLOCK.fullmatch(html)):
            self.blocks[int(found[1])] = found[2]
        elif target[0] == "b" and how == "innerMorph" and int(target[1:]) in self.blocks:
            self.blocks[int(target[1:])] = html
        elif target[0] == "b" and how == "delete":
            del self.blocks[int(target[1:])]
        elif target == "thinking" and (found := self.DETAILS.search(html)):
            self.thought, self.thinking, self.folds = found[1], found[2], True
        elif target == "thinking":
            self.thought, self.thinking, self.folds = "", "", False
        elif target == "thoughts" and self.folds:
            self.thinking += html
        elif target == "thought" and self.folds:
            self.thought = html
        elif target == "status" and not self.outcome and how == "innerHTML":
            self.status = re.sub(r"<[^>]+>", "", html)
        elif target == "status" and not self.outcome:
            self.status, self.outcome = "", html
        else:
            raise AssertionError(f"the page has no place for this: {target} {how} {html}")

    def note(self):
        found = re.search(r'<span class="note(?: interrupted)?">(.*?)</span>', self.outcome)
        return found[1] if found else ""

    def shown(self):
        """All of the answer that is the same however long it took. The store has another character for zeros."""
        def stored(text):
            return text.replace("\0", "\ufffd")
        return (stored(self.thinking), bool(self.thought),
                [(i, stored(html)) for i, html in sorted(self.blocks.items())], self.note())


class Reader:
    """A page that follows an answer, and comes back whenever the server goes without having told of an end."""

    def __init__(self, site, conversation, number):
        self.site, self.path = site, f"/c/{conversation}/stream/{number}"
        self.page = Page()
        self.begin_anew()
        self.failure = None
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def begin_anew(self):
        """Counts for a server that is to come."""
        self.received = []  # (when, number of the event)
        self.connections = 0

    def over(self):
        return not self.thread.is_alive()

    def work(self):
        try:
            while not self.follow():
                time.sleep(0.005)
        except Exception as failure:  # told by whoever looks
            self.failure = failure

    def follow(self):
        """True if the answer is over."""
        connection = self.site.connect()
        text = b""
        try:
            connection.request("GET", self.path, headers={"Last-Event-ID": self.page.last_id} if self.page.last_id else {})
            response = connection.getresponse()
            if response.status != 200:
                raise AssertionError(f"{self.path}: {response.status}")
            self.connections += 1
            while piece := response.read1(1 << 16):
                when = time.monotonic()
                *events, text = (text + piece).split(b"\n\n")
                for event in events:
                    self.page.take_event(event.decode())
                if events and self.page.last_id:
                    self.received.append((when, int(self.page.last_id.partition(".")[2])))
                if self.page.events[-1:] == ["done"]:
                    return True
        except GONE:
            pass  # with it half an event, if there was one
        finally:
            connection.close()
        return False


@contextlib.contextmanager
def opened(data, changes=False):
    """The database in a folder, to read, or to change with nobody serving from it."""
    mode = "rw" if changes else "ro"
    database = sqlite3.connect(f"file:{os.path.join(data, 'conversations.sqlite')}?mode={mode}", uri=True, timeout=30)
    database.row_factory = sqlite3.Row
    database.execute("pragma foreign_keys = on")
    try:
        with database:
            yield database
    finally:
        database.close()


def check_store(data):
    """Throws unless what belongs together in the database is together."""
    checked = subprocess.run([CHECK_STORE, data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANGS_AFTER)
    if checked.returncode != 0:
        raise AssertionError(checked.stdout.decode())


def until(what, condition):
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > HANGS_AFTER:
            raise AssertionError(f"not after {HANGS_AFTER} s: {what}")
        time.sleep(0.02)
