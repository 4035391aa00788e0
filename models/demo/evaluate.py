"""Measure the demo model through the program, greedily, on held-out prompts; only the standard library is needed.

    evaluate.py --program ../../build/release/smollm3 --model ../demo.gguf     starts a server of its own
    evaluate.py --url http://127.0.0.1:3000                                    uses one that runs

Speaks POST /v1/chat/completions with temperature 0.
"""
import argparse
import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import cases
import checks

CASES, FAR_CASES = 50, 20


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--program", help="the smollm3 program to start")
    a.add_argument("--model", help="the GGUF file to start it with")
    a.add_argument("--url", help="a server that runs already")
    a.add_argument("--cases", type=int, default=CASES, help="per ability and mode")
    a.add_argument("--only", help="abilities, separated by commas")
    a.add_argument("--json", help="write the figures to this file")
    a.add_argument("--table", action="store_true", help="print a Markdown table at the end")
    a.add_argument("--failures", action="store_true", help="print every wrong answer")
    o = a.parse_args()
    if not o.url and not (o.program and o.model):
        a.error("give --url, or --program and --model")
    return o


@contextlib.contextmanager
def server(program, model):
    """A server on a free port of the loopback, ended on leaving."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([program, "--model", model, "serve", "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            time.sleep(0.1)
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(url + "/health", timeout=2).close()
                break
            if process.poll() is not None:
                sys.exit(f"evaluate: {program} ended with {process.returncode} before it served")
        yield url
    finally:
        process.terminate()
        process.wait()


def ask(url, conversation):
    """(thought, content, first call or None) of the server's answer to all but the last turn."""
    body = {"model": "demo", "messages": conversation.messages(-1), "temperature": 0, "max_tokens": 400,
            "chat_template_kwargs": {"enable_thinking": conversation.thinking}}
    if conversation.tools:
        body["tools"] = conversation.tools
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        message = json.load(response)["choices"][0]["message"]
    calls = message.get("tool_calls")
    return message.get("reasoning_content") or "", message.get("content") or "", calls[0]["function"] if calls else None


def measure(url, conversations, failures):
    """(right answers, answers that thought exactly when they should)"""
    right = mode = 0
    for c in conversations:
        thought, content, call = ask(url, c)
        good = checks.judge(c.check, content, call)
        right += good
        mode += bool(thought.strip()) == c.thinking
        if failures and not good:
            print(f"--- {c.task}, {'think' if c.thinking else 'no think'}: {c.turns[-2].content!r}\n    thought {thought!r}\n    answered {content!r} "
                  f"{call or ''}\n    wanted {c.check}")
    return right, mode


def markdown_table(rows):
    """One line an ability, under /think and under /no_think."""
    out = ["| ability | `/think` | `/no_think` |", "|---|---|---|"]
    for ability in dict.fromkeys(r["ability"] for r in rows):
        shares = {r["thinking"]: f"{100 * r['right'] / r['of']:.0f} % of {r['of']}" for r in rows if r["ability"] == ability}
        out.append(f"| {ability} | {shares[True]} | {shares[False]} |")
    return "\n".join(out)


def main():
    o = arguments()
    chosen = o.only.split(",") if o.only else list(cases.TASKS) + ["every fact"]
    rows, modes = [], [0, 0]
    with contextlib.nullcontext(o.url) if o.url else server(o.program, o.model) as url:
        for task in chosen:
            for thinking in (True, False):
                if task == "every fact":
                    conversations = cases.every_fact(thinking)
                else:
                    conversations = cases.cases(task, min(o.cases, FAR_CASES) if task == "recall far" else o.cases, thinking)
                right, mode = measure(url, conversations, o.failures)
                modes = [modes[0] + mode, modes[1] + len(conversations)]
                rows.append({"ability": task, "thinking": thinking, "right": right, "of": len(conversations)})
                print(f"{task:12} {'think' if thinking else 'no think':9} {right:4} of {len(conversations):4}  {100 * right / len(conversations):5.1f} %", flush=True)
    print(f"{'mode obeyed':22} {modes[0]:4} of {modes[1]:4}  {100 * modes[0] / modes[1]:5.1f} %")
    if o.table:
        print(markdown_table(rows))
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump({"abilities": rows, "mode_obeyed": modes}, f, indent=1)


if __name__ == "__main__":
    main()
