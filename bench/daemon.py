# SPDX-License-Identifier: Apache-2.0
"""A daemon of its own for a test, a benchmark or the demo: its API, its command line, and its machines' consoles."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import harness

BIN = harness.BUILD / "bin"
GUEST_FRAMES = re.compile(r"memfd:(guest-memory|packed-pages|cloister-vault)")


class Fault(Exception):
    """The daemon refused: (status, fault_message)."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Console(harness.Console):
    """One connection to a machine's console."""

    def __init__(self, path):
        super().__init__()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.listen(self.socket.fileno(), time.monotonic())

    def write(self, data):
        self.socket.sendall(data)

    def is_over(self):
        return not self.is_listening()

    def close(self):
        """Does nothing the second time. The reader ends first: the next socket gets the number of this one, and it would take away what that one is to read."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end is gone
        self._reader.join()
        self.socket.close()


def reachable_by_all(path):
    """Whether every user may pass through all folders above it."""
    return all(folder.stat().st_mode & 1 for folder in path.resolve().parents)


class Daemon:
    """cloisterd on folders of its own, that of its sockets with a short name. restart() is a SIGKILL and a new one; end()
    takes the machines along."""

    def __init__(self, pool="1GiB", **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cl-", dir="/tmp"))
        # Cells may run as another user: they must be able to pass.
        self.folder.chmod(0o755)
        settings = {key.replace("_", "-"): value for key, value in settings.items()}
        if os.geteuid() == 0 and not reachable_by_all(BIN / "cloister-cell"):
            settings.setdefault("cell-user", "root")  # root's clone in a folder of root's: another user cannot come there
        self.settings = {"pool": pool, "state-folder": self.folder / "s", "runtime-folder": self.folder / "r", **settings}
        self.socket = str(self.folder / "r/api")
        self.log = open(self.folder / "daemon.log", "ab")
        harness.KEEPER.keep("folder", self.folder)
        self.process = None
        self._consoles = []
        self.start()

    def command(self, flags):
        return [BIN / "cloisterd", *flags]

    def start(self):
        flags = [f"--{key}={value}" for key, value in self.settings.items()]
        self.process = subprocess.Popen(self.command(flags), stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        limit = time.monotonic() + 30
        while True:
            try:
                return self.get("host")
            except OSError:
                if self.process.poll() is not None or time.monotonic() > limit:
                    raise RuntimeError(f"cloisterd did not start: {self.said()}") from None
                time.sleep(0.02)

    def said(self):
        return (self.folder / "daemon.log").read_text(errors="replace")[-3000:]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        self.kill()
        self.start()

    def end(self):
        for console in self._consoles:
            console.close()
        if self.process.poll() is not None:
            self.start()
        for machine in self.get("machines"):
            if "process" in machine:
                os.kill(machine["process"], signal.SIGKILL)
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        harness.KEEPER.forget("folder", self.folder)

    def call(self, method, path, body=None, timeout=120):
        connection = UnixConnection(self.socket, timeout)
        try:
            connection.request(method, path if path.startswith("/") else f"/api/v1/{path}",
                               None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status >= 400:
                raise Fault(answer.status, json.loads(text)["fault_message"])
            return json.loads(text) if answer.headers.get("Content-Type") == "application/json" and text else text
        finally:
            connection.close()

    def get(self, path):
        return self.call("GET", path)

    def launch(self, name, image, append="", **options):
        options = {key.replace("_", "-"): value for key, value in options.items()}
        options.setdefault("memory", "256MiB")
        body = {"kernel": str(image / "Image"), "append": f"console=ttyS0 quiet {append}", **options}
        body.setdefault("initrd", str(image / "initrd"))
        return self.call("PUT", f"machines/{name}", body)

    def set(self, **settings):
        self.call("PATCH", "host", {key.replace("_", "-"): str(value) for key, value in settings.items()})

    def machines(self):
        return {machine["name"]: machine for machine in self.get("machines")}

    def state(self, name, state):
        return self.call("PUT", f"machines/{name}/state", {"state": state})

    def memory(self, name):
        return self.get(f"machines/{name}")["memory"]

    def console(self, name):
        self._consoles.append(Console(self.get(f"machines/{name}")["console"]))
        return self._consoles[-1]

    def shell_of(self, name, timeout=240):
        """A console whose shell is up, without echo and prompt."""
        limit = time.monotonic() + timeout
        while harness.SHELL_IS_UP not in self.get(f"machines/{name}/log"):
            if time.monotonic() > limit:
                raise harness.GuestFailed(f"{name} does not boot: {self.get(f'machines/{name}/log')[-2000:]}")
            time.sleep(0.3)
        console = self.console(name)
        console.hush()
        return console

    def cli(self, *words, timeout=120):
        done = subprocess.run([BIN / "cloister", "--socket", self.socket, *map(str, words)], capture_output=True, text=True,
                              timeout=timeout)
        return done.returncode, done.stdout, done.stderr


class Debian(Console):
    """A Debian machine of a daemon's, with a shell as its first program. `system` is one of harness.debian()'s."""

    def __init__(self, host, name, system, overlay, **options):
        self.name = name
        options = {key.replace("_", "-"): value for key, value in options.items()}
        more = options.pop("disk", [])
        host.call("PUT", f"machines/{name}", {
            "cpus": "1", "kernel": system + ".kernel", "initrd": system + ".initrd", "disk": [f"{system},overlay={overlay}", *more],
            "append": "console=ttyS0 quiet no5lvl root=/dev/vda init=/bin/sh", **options})
        super().__init__(host.get(f"machines/{name}")["console"])

    def log_in(self):
        self.expect(r"[#$] ", 300)
        self.send("stty -echo; PS1= PS2=; set +m; export TERM=dumb PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\n")
        self.must("mount -t tmpfs -o size=90% shm /dev/shm; mount -t tmpfs run /run; ip link set lo up 2>/dev/null; true", 120)

    def must(self, command, timeout=120):
        """Runs a command that has to succeed; returns its output."""
        output, status = self.shell(command, timeout)
        if status != 0:
            raise harness.GuestFailed(f"{self.name}: {command}: status {status}: {output[-500:]}")
        return output


def guest_memory(pid, count="Pss:", files=GUEST_FRAMES):
    """What the host's kernel counts (bytes): the guest's frames and all the rest. The guest's lie in memory that is closed
    to huge pages ("nh"), which the cell's own is not, and in files with names."""
    guest = other = 0
    name, size = "", 0
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if words[0] == count:
            size = int(words[1]) * 1024
        elif words[0] == "VmFlags:":
            guests = files.search(name) or "nh" in words
            guest, other = guest + (size if guests else 0), other + (0 if guests else size)
        elif not words[0].endswith(":"):
            name = line
    return guest, other
