"""`serve` as a command: it says where it is, answers there, and ends when it is told to."""
import itertools
import json
import signal
import time
import unittest
import urllib.request

from program import HANGS_AFTER, expect_error, micro, path, run, start

# As often as it is started, with conversations of its own.
folders = (path(f"conversations-{n}") for n in itertools.count())


class Serve(unittest.TestCase):
    def start(self):
        process = start("--model", micro(), "serve", "--port", "0", "--data", next(folders))
        line = process.stdout.readline().decode()
        self.assertRegex(line, r"\ASmolLM3 micro random is at http://127\.0\.0\.1:\d+\n\Z")
        return process, line.split()[-1]

    def test_from_start_to_end(self):
        for how in (signal.SIGINT, signal.SIGTERM):
            process, url = self.start()
            with urllib.request.urlopen(url + "/health", timeout=HANGS_AFTER) as response:
                self.assertEqual(response.status, 200)
            process.send_signal(how)
            process.communicate(timeout=HANGS_AFTER)
            self.assertEqual(process.returncode, 0)

    def test_port_in_use(self):
        process, url = self.start()
        port = url.rsplit(":", 1)[1]
        expect_error(self, run("--model", micro(), "--quiet", "serve", "--port", port, "--data", next(folders)), 1, port)
        process.kill()
        process.communicate()

    def test_wrong_ports(self):
        for port in ("65536", "-1", "http"):
            expect_error(self, run("serve", "--port", port), 2, "--port")

    def test_system_prompt(self):
        with open(path("system.txt"), "wb") as file:
            file.write(b"Be brief.\n")
        process = start("--model", micro(), "serve", "--port", "0", "--system", path("system.txt"), "--data", next(folders))
        url = process.stdout.readline().decode().split()[-1]
        def tokens(*messages):
            body = json.dumps({"messages": [{"role": role, "content": "Hi"} for role in messages], "max_tokens": 1}).encode()
            with urllib.request.urlopen(url + "/v1/chat/completions", body, timeout=HANGS_AFTER) as response:
                return json.load(response)["usage"]["prompt_tokens"]
        self.assertEqual(tokens("user") - tokens("system", "user"), len(" Be brief.") - len(" Hi"))
        process.kill()
        process.communicate()
        with open(path("binary"), "wb") as file:
            file.write(b"\xff\xfe")
        expect_error(self, run("--model", micro(), "--quiet", "serve", "--system", path("binary")), 1, "binary", "UTF-8")
        expect_error(self, run("--model", micro(), "--quiet", "serve", "--system", path("absent")), 1, "absent")
        with open(path("long.txt"), "wb") as file:
            file.write(b"word " * 1000)
        expect_error(self, run("--model", micro(), "--ctx", "256", "--quiet", "serve", "--system", path("long.txt")), 1, "system prompt", "--ctx")

    def test_two_signals_at_once(self):
        for microseconds in (0, 20, 40, 80, 150, 300, 500, 1000) * 3:
            process, _ = self.start()
            process.send_signal(signal.SIGTERM)
            time.sleep(microseconds / 1e6)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=HANGS_AFTER)
            self.assertIn(process.returncode, (0, -signal.SIGINT))  # the second may come when it is done

    def test_wrong_host(self):
        expect_error(self, run("--model", micro(), "--quiet", "serve", "--host", "999.1.1.1", "--port", "0"), 1, "999.1.1.1")


unittest.main()
