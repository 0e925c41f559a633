"""--ui dashboard on a terminal: what it draws, sizes, and that the terminal comes back whatever ends it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from client_run import FLUXPERF, MODEL, fluxperf, profile, write_prompts
from fake_server import Answer, FakeServer

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?25h\x1b[?1049l"


class Terminal:
    """A run with stdin, stdout and stderr on a terminal of its own."""

    def __init__(self, server, cwd, *args, size=(30, 100), term="xterm", ui="dashboard"):
        write_prompts(cwd)
        self.fd, self.other = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.other)
        command = [os.path.abspath(FLUXPERF), "profile", "--model", MODEL, "--url", server.url,
                   "--input-file", "image_prompts.jsonl", "--artifact-dir", "out", "--ui", ui, *args]
        self.process = subprocess.Popen(command, cwd=cwd, stdin=self.other, stdout=self.other,
                                        stderr=self.other, env={**os.environ, "TERM": term},
                                        start_new_session=True)
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)
        os.close(self.other)

    def resize(self, rows, columns):
        fcntl.ioctl(self.other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.05):
        end = time.monotonic() + seconds
        while select.select([self.fd], [], [], max(end - time.monotonic(), 0))[0]:
            self.text += os.read(self.fd, 65536).decode(errors="replace")

    def wait_for(self, part, after=0):
        end = time.monotonic() + 60
        while part not in self.text[after:]:
            assert time.monotonic() < end, self.text[-3000:]
            self.read()

    def wait(self):
        end = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < end
            self.read()
        self.read()
        return self.process.returncode

    def settings_are_back(self):
        return termios.tcgetattr(self.other) == self.before

    def shown(self, after=0):
        """The last whole picture, as lines without sequences."""
        last = self.text[after:].split("\x1b[H")[-1].split("\x1b[J")[0]
        return re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", last).replace("\r", "").split("\n")


def is_whole(run):
    """Entered once, left once, and in that order."""
    return (run.text.count(ENTER) == run.text.count(LEAVE) == 1
            and run.text.index(ENTER) < run.text.index(LEAVE))


def test_dashboard_shows_the_run_and_gives_the_terminal_back(tmp_path):
    def script(i, request):
        return Answer(b"busy", "503 Service Unavailable", delay=0.3) if i == 2 else Answer(delay=0.3)

    metrics = Answer(b"fluxserve_queue_depth 5\nfluxserve_in_flight 1\n", kind="text/plain")
    with FakeServer(script, {"/metrics": metrics}) as server:
        with Terminal(server, tmp_path, "--request-count", "8") as run:
            run.wait_for("1 x 503 Service Unavailable: busy")
            run.wait_for("5/8 done")
            assert not run.settings_are_back()  # no echo
            lines = "\n".join(run.shown())
            for part in (MODEL, server.url, "profiling", "in flight 1", "failed 1", "p95 ",
                         "queue 5   running 1", "of a core", "profiling started"):
                assert part in lines, lines
            assert run.wait() == 1
            assert is_whole(run) and run.settings_are_back()
    after = run.text[run.text.index(LEAVE):]
    assert "INFO load profiling started" in after  # the log comes out in the end
    assert "Image Generation Metrics" in after and "1 of 8 profiling requests failed" in after


def test_every_picture_fits_the_screen_as_it_is_resized(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.05)) as server:
        with Terminal(server, tmp_path, "--request-count", "1000", size=(40, 120)) as run:
            run.wait_for("done")
            for rows, columns in ((10, 40), (3, 12), (1, 1), (50, 200)):
                run.resize(rows, columns)
                run.read(0.3)  # what was being drawn
                at = len(run.text)
                run.wait_for("\x1b[H", at)
                run.wait_for("\x1b[J", run.text.index("\x1b[H", at))
                lines = run.shown()
                assert len(lines) <= rows and max(map(len, lines)) <= columns, (rows, lines)
            run.process.send_signal(signal.SIGINT)
            assert run.wait() == 1 and is_whole(run) and run.settings_are_back()
    assert "the run is incomplete: interrupted" in run.text


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGHUP, signal.SIGQUIT])
def test_crashes_give_the_terminal_back(tmp_path, number):
    if os.environ.get("FLUXBENCH_SANITIZE"):
        pytest.skip("sanitizers end the process themselves")
    with FakeServer(lambda i, r: Answer(delay=0.05)) as server:
        with Terminal(server, tmp_path, "--request-count", "1000") as run:
            run.wait_for("done")
            run.process.send_signal(number)
            assert run.wait() == -number
            assert is_whole(run) and run.settings_are_back()
            assert "profiling started" in run.text[run.text.index(LEAVE):]


def test_two_interrupts_give_the_terminal_back(tmp_path, monkeypatch):
    options = os.environ.get("TSAN_OPTIONS", "")
    monkeypatch.setenv("TSAN_OPTIONS", f"{options}:report_thread_leaks=0")
    body = b'{"data":[{"url":"/slow"}]}'
    with FakeServer(lambda i, r: Answer(body, delay=0.5), {"/slow": Answer(delay=60)}) as server:
        with Terminal(server, tmp_path, "--request-count", "2") as run:
            run.wait_for("0/2 done")
            while not server.others:
                run.read()
            run.process.send_signal(signal.SIGINT)
            time.sleep(0.01)
            run.process.send_signal(signal.SIGINT)
            assert run.wait() == 1 and is_whole(run) and run.settings_are_back()


def test_stopping_gives_the_terminal_back_for_a_while(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.05)) as server:
        with Terminal(server, tmp_path, "--request-count", "1000") as run:
            run.wait_for("done")
            run.process.send_signal(signal.SIGTSTP)
            run.wait_for(LEAVE)
            os.waitpid(run.process.pid, os.WUNTRACED)
            assert run.settings_are_back()
            at = len(run.text)
            run.process.send_signal(signal.SIGCONT)
            run.wait_for(ENTER, at)
            run.wait_for("done", at)
            run.process.send_signal(signal.SIGTERM)
            assert run.wait() == 1 and run.settings_are_back()
    assert run.text.count(ENTER) == run.text.count(LEAVE) == 2


def test_where_there_is_no_able_terminal_there_is_less(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.1)) as server:
        run = profile(server.url, tmp_path, "--request-count", "3", "--ui", "dashboard")
        assert run.code == 0 and "\x1b" not in run.out + run.err
        with Terminal(server, tmp_path, "--request-count", "4", term="dumb") as run:
            run.wait()  # the line instead
            assert ENTER not in run.text and "/4 done" in run.text
        with Terminal(server, tmp_path, "--request-count", "4", ui="simple") as run:
            run.wait()
            assert ENTER not in run.text and "/4 done" in run.text
    assert "dashboard" in fluxperf("profile", "--help", cwd=tmp_path).out


def test_hostile_text_does_not_reach_the_terminal(tmp_path):
    evil = b"\x1b]0;owned\x07\x1b[2J"
    with FakeServer(lambda i, r: Answer(evil, "500 Odd", delay=0.2)) as server:
        with Terminal(server, tmp_path, "--request-count", "4") as run:
            run.wait_for("500 Odd")
            run.wait()
    assert "\x1b]0;" not in run.text and run.text.count("\x1b[2J") == 1
