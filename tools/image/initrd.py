#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the initial RAM file system of the test guests: busybox, drivers and an init script.

    initrd.py OUT --root UNPACKED --init SCRIPT [--module NAME]... [--add GUEST_PATH=FILE]...

UNPACKED holds the packages linux-image-* and busybox-static, unpacked. The archive is written plain: unpacking a
compressed one costs an interpreted guest far more than reading a few megabytes. The modules come
decompressed for the same reason, each with a NAME.needs file that lists what to load before it.
"""
import argparse
import lzma
import pathlib
import re
import sys

S_DIR, S_FILE, S_CHAR = 0o040000, 0o100000, 0o020000


class Archive:
    """A cpio archive ("newc") in memory. Everything belongs to root and is dated 0: equal input, equal bytes."""

    def __init__(self):
        self._parts = []
        self._seen = set()
        self._inode = 0

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self._inode += 1
        path = name.encode() + b"\0"
        links = 2 if mode & S_DIR == S_DIR else 1
        fields = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, rdev[0], rdev[1], len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self._parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def directory(self, name):
        name = name.strip("/")
        if not name or name in self._seen:
            return
        self.directory(str(pathlib.PurePosixPath(name).parent).strip("."))
        self._seen.add(name)
        self._entry(name, S_DIR | 0o755)

    def file(self, name, data, mode=0o755):
        name = name.strip("/")
        self.directory(str(pathlib.PurePosixPath(name).parent).strip("."))
        self._entry(name, S_FILE | mode, data)

    def character_device(self, name, major, minor):
        self.directory(str(pathlib.PurePosixPath(name).parent).strip("."))
        self._entry(name.strip("/"), S_CHAR | 0o600, rdev=(major, minor))

    def bytes(self):
        end = Archive()
        end._entry("TRAILER!!!", 0)
        whole = b"".join(self._parts + end._parts)
        return whole + b"\0" * (-len(whole) % 512)


class Modules:
    """The kernel's modules by name, and what each says it depends on."""

    def __init__(self, root):
        self._files = {}
        for path in pathlib.Path(root).glob("**/lib/modules/*/kernel/**/*.ko*"):
            self._files[path.name.split(".ko")[0].replace("-", "_")] = path
        self._data = {}

    def read(self, name):
        if name not in self._files:
            raise SystemExit(f"initrd: the kernel package has no module {name}: leave it out of --module")
        if name not in self._data:
            raw = self._files[name].read_bytes()
            self._data[name] = lzma.decompress(raw) if self._files[name].suffix == ".xz" else raw
        return self._data[name]

    def _existing(self, names):
        """Of soft dependencies those that are modules; an algorithm (crypto-crc32c) is its generic implementation."""
        for name in (one.removeprefix("crypto-").replace("-", "_") for one in names):
            yield from [one for one in (name, f"{name}_generic") if one in self._files][:1]

    def needs(self, name):
        """What to load before `name`, in order, each once. Soft dependencies are taken when they exist."""
        data = self.read(name)
        hard = re.search(rb"\0depends=([^\0]*)\0", data)
        soft = re.search(rb"\0softdep=pre: ([^\0]*)\0", data)
        wanted = [one for one in hard.group(1).decode().split(",") if one] if hard else []
        wanted += self._existing(soft.group(1).decode().split() if soft else [])
        order = []
        for one in wanted:
            order += [other for other in self.needs(one) + [one] if other not in order]
        return list(dict.fromkeys(order))


def build(root, init, modules, additions):
    archive = Archive()
    for folder in ("dev", "proc", "sys", "tmp", "root", "mnt", "etc", "bin", "sbin", "usr/bin", "usr/sbin"):
        archive.directory(folder)
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3)
    archive.file("bin/busybox", next(pathlib.Path(root).glob("**/bin/busybox")).read_bytes())
    archive.file("init", pathlib.Path(init).read_bytes())
    archive.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n", 0o644)
    archive.file("etc/group", b"root:x:0:\n", 0o644)
    source = Modules(root)
    wanted = list(dict.fromkeys(one for name in modules for one in source.needs(name) + [name]))
    for name in wanted:
        archive.file(f"lib/modules/{name}.ko", source.read(name), 0o644)
        archive.file(f"lib/modules/{name}.needs", (" ".join(source.needs(name)) + "\n").encode(), 0o644)
    for path, source_file in additions:
        archive.file(path, pathlib.Path(source_file).read_bytes())
    return archive.bytes()


def main():
    parser = argparse.ArgumentParser(description="make the initial RAM file system of a test guest")
    parser.add_argument("out")
    parser.add_argument("--root", required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--module", action="append", default=[])
    parser.add_argument("--add", action="append", default=[], metavar="GUEST_PATH=FILE")
    arguments = parser.parse_args()
    additions = [one.split("=", 1) for one in arguments.add]
    data = build(arguments.root, arguments.init, arguments.module, additions)
    pathlib.Path(arguments.out).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
