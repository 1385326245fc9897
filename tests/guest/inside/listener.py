# SPDX-License-Identifier: Apache-2.0
"""A service that watches its memory pressure by systemd's protocol: prints what it is told."""
import base64
import os
import select
import socket

place = os.environ["MEMORY_PRESSURE_WATCH"]
if place == "/dev/null":
    raise SystemExit("nobody wants it to watch")
talk = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
talk.connect(place)
if "MEMORY_PRESSURE_WRITE" in os.environ:
    talk.send(base64.b64decode(os.environ["MEMORY_PRESSURE_WRITE"]))
print("listens at", place, flush=True)
poll = select.poll()
poll.register(talk, select.POLLIN)
while True:
    poll.poll()
    told = talk.recv(4096)
    if not told:
        raise SystemExit("the agent is gone")
    print("heard", told.decode().strip(), flush=True)
