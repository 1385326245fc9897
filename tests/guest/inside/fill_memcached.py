# SPDX-License-Identifier: Apache-2.0
"""Fills the memcached on port 11211 with so many values of 1000 bytes."""
import os
import socket
import sys

talk = socket.create_connection(("127.0.0.1", 11211))
lines = talk.makefile("rb")
for first in range(0, int(sys.argv[1]), 100):
    talk.sendall(b"".join(b"set k%d 0 0 1000\r\n%s\r\n" % (key, os.urandom(1000)) for key in range(first, first + 100)))
    for _ in range(100):
        assert lines.readline() == b"STORED\r\n"
