# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks and the guest tests share: engines, guests that run on them, tables and JSON.

A Guest is one `cloister run --batch` (or the peer behind the same flags) whose console is read line by line with the
time at which each line came. Nothing here waits without a limit, and a Guest used in `with` is always ended.
"""
import argparse
import atexit
import contextlib
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("CLOISTER_CACHE", ROOT / ".cache"))
BUILD = pathlib.Path(os.environ.get("CLOISTER_BUILD", ROOT / "build"))
GUEST_PROGRAMS = ROOT / "build/guest/bin"
USER_SPACE_IS_UP = "cloister: user space is up"
SHELL_IS_UP = "cloister: shell is up"

ENGINES = {
    "cloister": [os.environ.get("CLOISTER", str(BUILD / "bin/cloister"))],
    "qemu": [sys.executable, str(ROOT / "bench/peer.py")],
}

sys.path.insert(0, str(ROOT / "tools/image"))
import initrd  # noqa: E402  (the archive writer of the images)


_running = set()


def _end_all(*_):
    for guest in list(_running):
        guest.kill()


# Guests are in sessions of their own: whoever ends this program must not leave them behind.
atexit.register(_end_all)
signal.signal(signal.SIGTERM, lambda *_: (_end_all(), os._exit(143)))


class Keeper:
    """Of what must not outlive this program, also when that is killed: lines as bench/keeper.py reads them. It starts with the first."""

    def __init__(self):
        self._process = None
        self._lock = threading.RLock()  # a signal may come amid a line

    def _say(self, line):
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen([sys.executable, ROOT / "bench/keeper.py"], stdin=subprocess.PIPE,
                                                 start_new_session=True)
                atexit.register(self._end)
            if self._process.stdin.closed:
                return  # it is at its work
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def _end(self):
        self._process.stdin.close()
        self._process.wait()

    def keep(self, kind, value):
        self._say(f"{kind} {value}")

    def forget(self, kind, value):
        self._say(f"-{kind} {value}")


KEEPER = Keeper()


class GuestFailed(Exception):
    """The guest did not do what was expected of it in time; carries the end of its console."""


class Console:
    """A machine's console: what came, when, and commands in its shell. Who inherits says how to write and what its end is."""

    def __init__(self):
        self.console = ""
        self._changed = threading.Condition()
        self._times = []
        self._asked = 0
        self._reader = None

    def listen(self, descriptor, start):
        self.start = start
        self._reader = threading.Thread(target=self._read, args=(descriptor,), daemon=True)
        self._reader.start()

    def is_listening(self):
        return self._reader.is_alive()

    def _read(self, descriptor):
        while True:
            try:
                data = os.read(descriptor, 65536)
            except OSError:
                data = b""
            with self._changed:
                self.console += data.decode(errors="replace").replace("\r", "")
                self._times.append((len(self.console), time.monotonic()))
                self._changed.notify_all()
            if not data:
                return

    def expect(self, pattern, timeout, after=0):
        """Waits for a regular expression on the console, and returns the match."""
        expression = re.compile(pattern, re.MULTILINE)
        limit = time.monotonic() + timeout
        with self._changed:
            while True:
                match = expression.search(self.console, after)
                if match:
                    return match
                left = limit - time.monotonic()
                if left <= 0 or self.is_over():
                    why = "ended" if left > 0 else f"did not in {timeout} s"
                    raise GuestFailed(f"waited for {pattern!r}: the guest {why}; its console ends:\n{self.console[-3000:]}")
                self._changed.wait(min(left, 0.5))

    def seconds_to(self, text):
        """From the engine's start to the moment this text was on the console."""
        end = self.console.index(text) + len(text)
        return next(when for length, when in self._times if length >= end) - self.start

    def send(self, text):
        self.write(text.encode())

    def shell(self, command, timeout=60):
        """Runs a command in the guest's shell; returns its output and exit status."""
        start = len(self.console)
        self._asked += 1
        # The marker is put together by the shell, so that the echo of the command is not mistaken for it; its number tells it
        # from the late answer to a command that was given up.
        self.send(f"{command}; echo mark''er {self._asked} $?\n")
        match = self.expect(rf"^marker {self._asked} (\d+)$", timeout, start)
        return self.console[start:match.start()], int(match.group(1))

    def hush(self):
        """Until the shell neither echoes nor prompts: what is typed while that of a busy guest sets its terminal up may be lost, all
        of it or a part."""
        for patience in (20, 60, 120):
            self.send("\nstty -echo; PS1=\n")
            with contextlib.suppress(GuestFailed):
                self.shell("true", patience)
                if self.shell("true", patience)[0].strip() == "":
                    return
        raise GuestFailed(f"its shell goes on echoing; its console ends:\n{self.console[-3000:]}")


class Guest(Console):
    """One machine, running. Flags are those of `cloister run`, without the dashes."""

    def __init__(self, engine="cloister", flags=(), **options):
        super().__init__()
        command = ENGINES[engine] + ["run", "--batch"] + list(flags)
        for name, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                command += [f"--{name}", str(one)]
        start = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)
        _running.add(self)
        KEEPER.keep("session", self.process.pid)
        self.listen(self.process.stdout.fileno(), start)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def is_over(self):
        return self.process.poll() is not None and not self.is_listening()

    def wait(self, timeout):
        """Waits for the machine's end, and returns its exit status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise GuestFailed(f"the guest did not end in {timeout} s; its console ends:\n{self.console[-3000:]}") from None
        self._reader.join(10)
        return status

    def kill(self):
        _running.discard(self)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        KEEPER.forget("session", self.process.pid)
        self._reader.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


def cpu_seconds(session):
    """The CPU time so far of all threads of a session's processes."""
    spent = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                spent += sum(int(each.read_text().split()[0]) for each in process.glob("task/*/schedstat"))
        except OSError:  # it has just ended
            continue
    return spent / 1e9


def busybox():
    """The folder of the small guest's Image and initrd, made when it is missing; CLOISTER_BUSYBOX says that it is made."""
    if made := os.environ.get("CLOISTER_BUSYBOX"):
        return pathlib.Path(made)
    made = subprocess.run([ROOT / "tools/image/busybox.sh", CACHE], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(made.stdout.strip().splitlines()[-1])


def debian(kind="tools"):
    """The path of a Debian test disk, of the kinds that tools/image/debian.sh knows; .kernel and .initrd lie beside it."""
    made = subprocess.run([ROOT / "tools/image/debian.sh", CACHE, kind], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(made.stdout.strip().splitlines()[-1])


def initrd_with(base, files, folder):
    """The initial RAM disk `base` with more files: {path in the guest: path here, or bytes}."""
    archive = initrd.Archive()
    for path, source in files.items():
        archive.file(path, source if isinstance(source, bytes) else pathlib.Path(source).read_bytes())
    out = tempfile.NamedTemporaryFile(dir=folder, suffix=".initrd", delete=False)
    with out:
        out.write(pathlib.Path(base).read_bytes() + archive.bytes())
    os.chmod(out.name, 0o644)  # the daemon's cells may run as another user
    return out.name


def add_rows(parser, known, default, which="all"):
    """The option --rows: names among `known`, with commas between. Without it: `default`, which people are told to be `which`."""
    def rows(text):
        for row in text.split(","):
            if row not in known:
                raise argparse.ArgumentTypeError(f"there is no row {row!r}: there are {', '.join(known)}")
        return text.split(",")
    parser.add_argument("--rows", type=rows, default=list(default), metavar="ROW,...", help=f"default: {which}")


def table(head, rows):
    """A table for people; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in [head] + rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    out = io.StringIO()
    for index, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                         for i, (cell, width) in enumerate(zip(row, widths)))
        out.write(line.rstrip() + "\n")
        if index == 0:
            out.write("-" * len(line) + "\n")
    return out.getvalue()


def figure(name, value, unit, peer=None, goals=None):
    """One entry of a suite's JSON. A goal is {"max": x} or {"min": x}."""
    goal = (goals or {}).get(name)
    met = None
    if goal is not None and value is not None:
        met = value <= goal["max"] if "max" in goal else value >= goal["min"]
    limit = None if goal is None else goal.get("max", goal.get("min"))
    return {"name": name, "value": value, "unit": unit, "peer": peer, "goal": limit, "met": met}


def report(figures, path):
    """Writes the JSON when asked, names missed goals, and returns the exit status."""
    if path:
        pathlib.Path(path).write_text(json.dumps(figures, indent=2) + "\n")
    missed = [one for one in figures if one["met"] is False]
    for one in missed:
        print(f"missed: {one['name']} is {one['value']:.4g} {one['unit']}, the goal {one['goal']}")
    return 1 if missed else 0
