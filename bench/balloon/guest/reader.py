#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads pieces of one file over and over, those at its beginning more often: what it needs is the kernel's page cache.

    reader.py FILE OUT

OUT has one line a second: pieces read so far, and a sum of what they held.
"""
import os
import random
import sys
import time
import zlib

PIECE = 16384


def main():
    file = os.open(sys.argv[1], os.O_RDONLY)
    pieces = os.fstat(file).st_size // PIECE
    chance = random.Random(1)
    done = total = 0
    following = time.monotonic() + 1
    with open(sys.argv[2], "w", encoding="ascii") as out:
        while True:
            at = int(chance.random() ** 3 * pieces) * PIECE
            total ^= zlib.crc32(os.pread(file, PIECE, at))
            done += 1
            if done % 16 == 0 and time.monotonic() >= following:
                following = time.monotonic() + 1
                print(done, total, file=out, flush=True)


main()
