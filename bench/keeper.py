#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ends what a test or a benchmark leaves behind, however it ends: harness.Keeper starts it.

Its input has a line each for a session of processes, or for a folder that the command lines of processes name: `session NUMBER`,
`folder PATH`; with a minus before it when these are ended. The input ends with whoever writes to it; what is left then is
killed, and the folders go.
"""
import os
import pathlib
import shutil
import signal
import sys
import time


def belongs(process, sessions, folders):
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has just ended
        return False
    is_dead = fields[0] in "ZX"
    return not is_dead and (fields[3] in sessions or any(folder in word for folder in folders for word in words))


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: it is for whoever is kept
    left = set()
    for line in sys.stdin:
        line = line.rstrip("\n")
        if line.startswith("-"):
            left.discard(line[1:])
        else:
            left.add(line)
    kept = [line.split(" ", 1) for line in left]
    sessions = {value for kind, value in kept if kind == "session"}
    folders = [value.encode() + b"/" for kind, value in kept if kind == "folder"]
    # A daemon may be making one just now.
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        found = [process for process in pathlib.Path("/proc").glob("[0-9]*") if belongs(process, sessions, folders)]
        if not found:
            break
        for process in found:
            try:
                os.kill(int(process.name), signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
