#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer: qemu-system-riscv64 behind the flags of `cloister run`.

    peer.py run --cpus N --memory SIZE --kernel FILE …

So that every benchmark, test and image recipe can run on either engine by naming another program.
"""
import os
import sys

SINGLE = {"--kernel": "-kernel", "--initrd": "-initrd", "--append": "-append", "--cpus": "-smp"}


def disk(index, text):
    """A disk as cloister takes it: FILE[,overlay=FILE][,readonly]."""
    path, *words = text.split(",")
    options = [f"if=none,id=disk{index},format=raw,file={path}"]
    for word in words:
        if word.startswith("overlay="):
            options.append("snapshot=on")  # what is written is forgotten: enough for whoever compares
        elif word == "readonly":
            options.append("readonly=on")
    return ["-drive", ",".join(options), "-device", f"virtio-blk-device,drive=disk{index}"]


def network(text):
    forwards = []
    for word in text.split(",")[1:]:
        protocol, host, outer, inner = word.split("=", 1)[1].split(":")
        forwards.append(f"hostfwd={protocol}:{host}:{outer}-:{inner}")
    return ["-netdev", ",".join(["user,id=net0"] + forwards), "-device", "virtio-net-device,netdev=net0"]


def share(index, text):
    fields = dict(word.partition("=")[::2] for word in text.split(","))
    local = f"local,id=share{index},path={fields['path']},security_model=none" + (",readonly=on" if "readonly" in fields else "")
    return ["-fsdev", local, "-device", f"virtio-9p-device,fsdev=share{index},mount_tag={fields['tag']}"]


def command(arguments):
    """The peer's command line for `run` and its flags."""
    if not arguments or arguments[0] != "run":
        raise SystemExit("peer: only `run` is known")
    line = ["qemu-system-riscv64", "-M", "virt", "-nographic", "-no-reboot", "-device", "virtio-rng-device"]
    rest = list(arguments[1:])
    count = 0
    while rest:
        flag = rest.pop(0)
        if flag == "--batch":
            continue
        value = rest.pop(0)
        count += 1
        if flag in SINGLE:
            line += [SINGLE[flag], value]
        elif flag == "--memory":
            line += ["-m", value.replace("iB", "")]
        elif flag == "--disk":
            line += disk(count, value)
        elif flag == "--net":
            line += network(value)
        elif flag == "--share":
            line += share(count, value)
        elif flag == "--balloon-device":
            line += ["-device", "virtio-balloon-device"] if value == "yes" else []
        elif flag == "--monitor":  # the peer's alone: where it takes orders (QMP)
            line += ["-qmp", f"unix:{value},server=on,wait=off"]
        elif flag not in ("--console", "--name", "--stats"):
            raise SystemExit(f"peer: {flag} has no counterpart")
    return line


if __name__ == "__main__":
    words = command(sys.argv[1:])
    os.execvp(words[0], words)
