# SPDX-License-Identifier: Apache-2.0
"""The host's side of the agent's port, spoken by a test over a machine's vsock (docs/guest-abi.md)."""
import contextlib
import socket
import struct

PORT_AGENT = 5152
EXEC, STDIN, SIGNAL, WINDOW, STDOUT, STDERR, EXIT, FAULT, PUT, GET = range(16, 26)
PATIENCE = 240


class Records:
    """Records over a connected socket."""

    def __init__(self, talk):
        self.socket = talk
        self.socket.settimeout(PATIENCE)
        self._bytes = b""

    def say(self, kind, body=b""):
        self.socket.sendall(struct.pack("<II", kind, len(body)) + body)

    def _take(self, size):
        while len(self._bytes) < size:
            got = self.socket.recv(65536)
            if not got:
                return None
            self._bytes += got
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken

    def next(self):
        """(kind, body), or None at the end."""
        head = self._take(8)
        if head is None:
            return None
        kind, size = struct.unpack("<II", head)
        return kind, self._take(size)

    def close(self):
        self.socket.close()


class Call:
    """One request to the agent. finish() waits for its end."""

    def __init__(self, door, kind, body):
        talk = socket.socket(socket.AF_UNIX)
        talk.settimeout(PATIENCE)
        talk.connect(str(door))
        talk.sendall(f"CONNECT {PORT_AGENT}\n".encode())
        line = b""
        while not line.endswith(b"\n"):
            byte = talk.recv(1)
            if not byte:
                talk.close()
                raise ConnectionError("nobody listens on the agent's port")
            line += byte
        self.records = Records(talk)
        self.output = self.errors = b""
        self.fault = None
        self.signal = self.status = None
        self.records.say(kind, body)

    def take(self):
        """Takes one record; False after the last."""
        record = self.records.next()
        if record is None:
            return False
        kind, body = record
        if kind == STDOUT:
            self.output += body
        elif kind == STDERR:
            self.errors += body
        elif kind == EXIT:
            self.signal, self.status = struct.unpack("<II", body)
        elif kind == FAULT:
            self.fault = body.decode()
        return kind not in (EXIT, FAULT)

    def give(self, stdin):
        """All of its standard input; who ends before takes no more of it."""
        with contextlib.suppress(BrokenPipeError):
            for at in range(0, len(stdin), 32768):
                self.records.say(STDIN, stdin[at:at + 32768])
            self.records.say(STDIN)

    def finish(self):
        while self.take():
            pass
        self.records.close()
        return self

    def until(self, text):
        while text not in self.output:
            if not self.take():
                raise ConnectionError(f"ended before {text!r}: {self.output!r} {self.fault}")


def exec_body(words, settings=(), folder="", terminal=False):
    body = struct.pack("<IIIII", len(words), len(settings), int(terminal), 24, 80)
    return body + b"".join(one.encode() + b"\0" for one in [*words, *settings, folder])


def run(door, *words, stdin=b"", **options):
    call = Call(door, EXEC, exec_body(words, **options))
    call.give(stdin)
    return call.finish()


def put(door, path, content, mode=0o644):
    call = Call(door, PUT, struct.pack("<I", mode) + path.encode())
    call.give(content)
    return call.finish()


def get(door, path):
    return Call(door, GET, path.encode()).finish()
