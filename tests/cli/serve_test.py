"""`serve` as a command: it says where it is, answers there, and ends when it is told to."""
import signal
import unittest
import urllib.request

from program import HANGS_AFTER, expect_error, micro, run, start


class Serve(unittest.TestCase):
    def start(self):
        process = start("--model", micro(), "serve", "--port", "0")
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
        expect_error(self, run("--model", micro(), "--quiet", "serve", "--port", port), 1, port)
        process.kill()
        process.communicate()

    def test_wrong_ports(self):
        for port in ("65536", "-1", "http"):
            expect_error(self, run("serve", "--port", port), 2, "--port")

    def test_wrong_host(self):
        expect_error(self, run("--model", micro(), "--quiet", "serve", "--host", "999.1.1.1", "--port", "0"), 1, "999.1.1.1")


unittest.main()
