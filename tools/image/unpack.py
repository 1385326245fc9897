#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unpacks Debian packages into a folder and registers them with its dpkg as unpacked, running none of their code.

    unpack.py ROOT LIST [--slim]

LIST names the packages' files, one a line. Afterwards `dpkg --configure -a` on a machine of the packages' own
architecture finishes the installation, as after an ordinary `dpkg --unpack`. Configuration files are put in place at
once and stated with their checksums in the status, which to dpkg means that there is nothing to ask. A package that has
no script to run at its configuration is configured with that, and is registered as installed: two thirds of them are.
"""
import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile

SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian")


class Package:
    """One package's file, and what its control part says."""

    def __init__(self, file, scratch):
        self.file = file
        self.control = pathlib.Path(tempfile.mkdtemp(dir=scratch))
        subprocess.run(["dpkg-deb", "-e", file, self.control], check=True)
        self.text = (self.control / "control").read_text()
        fields = dict(line.split(": ", 1) for line in self.text.splitlines() if ": " in line and line[0] != " ")
        self.name = fields["Package"]
        self.early = self.name in ("base-files", "base-passwd")
        same = fields.get("Multi-Arch") == "same"
        self.key = f"{self.name}:{fields['Architecture']}" if same else self.name

    def state(self):
        """Without scripts, configuring would change the state and nothing else."""
        return "unpacked" if any((self.control / one).exists() for one in ("preinst", "postinst")) else "installed"

    def lines(self, name):
        path = self.control / name
        return path.read_text().splitlines() if path.exists() else []


def unpack(package, root, slim):
    """Unpacks the files; returns what dpkg lists of the package: every path, folders too."""
    listing = subprocess.run(["dpkg-deb", "--fsys-tarfile", package.file], check=True, stdout=subprocess.PIPE).stdout
    command = ["tar", "-x", "-p", "-v", "--keep-directory-symlink", "-C", root, "-f", "-"]
    if slim:
        command += [f"--exclude=./{folder}/*" for folder in SLIM]
    out = subprocess.run(command, input=listing, check=True, stdout=subprocess.PIPE).stdout.decode()
    paths = [line.lstrip(".").rstrip("/") for line in out.splitlines()]
    return "".join((path or "/.") + "\n" for path in paths)


def conffiles(package, root):
    """The field of the status that names the configuration files with their checksums."""
    rows = []
    for path in package.lines("conffiles"):
        if path.startswith("/"):
            file = root / path.lstrip("/")
            if file.exists():
                rows.append(f" {path} {hashlib.md5(file.read_bytes()).hexdigest()}\n")
    return "Conffiles:\n" + "".join(rows) if rows else ""


class Database:
    """dpkg's files below var/lib/dpkg."""

    def __init__(self, root):
        self._root = root
        self._folder = root / "var/lib/dpkg"
        for name in ("info", "updates", "triggers", "alternatives", "parts"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "info/format").write_text("1\n")
        for name in ("available", "diversions", "statoverride", "lock", "triggers/Lock", "triggers/Unincorp"):
            (self._folder / name).touch()
        self._status = []

    def register(self, package, listing):
        info = self._folder / "info"
        (info / f"{package.key}.list").write_text(listing)
        for part in package.control.iterdir():
            if part.name != "control":
                target = info / f"{package.key}.{part.name}"
                target.write_bytes(part.read_bytes())
                target.chmod(part.stat().st_mode & 0o755)
        head, rest = package.text.split("\n", 1)
        self._status.append(f"{head}\nStatus: install ok {package.state()}\n{rest.strip()}\n{conffiles(package, self._root)}")
        self._register_triggers(package)

    def _register_triggers(self, package):
        for line in package.lines("triggers"):
            words = line.split("#")[0].split()
            if len(words) != 2 or not words[0].startswith("interest"):
                continue
            who = package.key + ("/noawait" if words[0] == "interest-noawait" else "")
            path = words[1].startswith("/")
            file = self._folder / "triggers" / ("File" if path else words[1])
            with file.open("a") as out:
                out.write(f"{words[1]} {who}\n" if path else f"{who}\n")

    def write(self):
        (self._folder / "status").write_text("\n".join(self._status))


def main():
    parser = argparse.ArgumentParser(description="unpack Debian packages into a folder")
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("list", type=pathlib.Path)
    parser.add_argument("--slim", action="store_true", help="without documentation and translations")
    arguments = parser.parse_args()
    arguments.root.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        packages = [Package(file, scratch) for file in arguments.list.read_text().split()]
        packages.sort(key=lambda package: not package.early)
        database = None
        for package in packages:
            listing = unpack(package, arguments.root, arguments.slim)
            database = database or Database(arguments.root)
            database.register(package, listing)
        database.write()


if __name__ == "__main__":
    sys.exit(main())
