"""A person at a terminal: the program on a pseudo-terminal, whose output is read as it comes."""
import os
import pty
import re
import select
import signal
import time

from program import HANGS_AFTER, PROGRAM, environment


class Terminal:
    def __init__(self, *arguments, env=None):
        self.process, self.descriptor = pty.fork()
        if self.process == 0:
            os.execve(PROGRAM, [PROGRAM, *arguments], env or environment())
        self.seen = b""    # everything so far
        self.unread = b""  # what no expect() has passed yet, without colours and cursor movements

    def expect(self, text, timeout=HANGS_AFTER):
        """Waits until the text appears after what was expected before; returns all up to and with it."""
        end = time.monotonic() + timeout
        text = text.encode()
        while text not in self.unread:
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} did not appear in {self.unread!r}")
        at = self.unread.index(text) + len(text)
        passed, self.unread = self.unread[:at], self.unread[at:]
        return passed.decode("utf-8", "replace")

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def wait(self, timeout=HANGS_AFTER):
        """The exit code, once the program has ended; the negative signal if one ended it."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self._read(0.05)
            done, status = os.waitpid(self.process, os.WNOHANG)
            if done:
                os.close(self.descriptor)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.process, signal.SIGKILL)
        raise AssertionError(f"it did not end; last seen: {self.unread!r}")

    def _read(self, timeout):
        ready, _, _ = select.select([self.descriptor], [], [], timeout)
        if not ready:
            return False
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # the program is gone
            return False
        self.seen += data
        self.unread = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", self.unread + data)
        return bool(data)
