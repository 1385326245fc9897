#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One Debian guest with two harts, at work: what `./run demo` shows."""
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import harness  # noqa: E402

PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
static long found[2];
static void *count(void *part) {
  long me = (long)part;
  for (long n = 3 + 2 * me; n < 200000; n += 4) {
    long d = 3;
    while (d * d <= n && n % d) d += 2;
    found[me] += d * d > n;
  }
  return 0;
}
int main(void) {
  pthread_t half[2];
  for (long i = 0; i < 2; i++) pthread_create(&half[i], 0, count, (void *)i);
  for (int i = 0; i < 2; i++) pthread_join(half[i], 0);
  printf("%ld primes below 200000\n", 1 + found[0] + found[1]);
}
"""

JOBS = [
    ("the system", "uname -srm; . /etc/os-release; echo $PRETTY_NAME; nproc; grep MemTotal /proc/meminfo", None),
    ("compiling", "gcc -O2 -pthread -o /tmp/primes /tmp/primes.c", None),
    ("two threads", "/tmp/primes", "17984 primes"),
    ("Redis starts", "redis-server --daemonize yes --save '' >/dev/null; until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.2; done", None),
    ("Redis serves", "redis-benchmark -q -n 2000 -c 8 -t set,get", "requests per second"),
]


def log_in(guest):
    guest.expect(r"login:", 600)
    guest.send("root\n")
    guest.expect(r"[#$] $", 120)
    guest.send("stty -echo; PS1=; export TERM=dumb\n")
    guest.shell("dmesg -n 1")
    guest.shell("cat > /tmp/primes.c <<'END'\n" + PROGRAM + "END\ntrue")


def work(guest):
    for name, command, expected in JOBS:
        start = time.monotonic()
        output, status = guest.shell(command, 300)
        shown = [line for line in output.replace("\r", "\n").splitlines() if line.strip()]
        print(f"  {name:14} {time.monotonic() - start:6.2f} s")
        for line in shown[-6:]:
            print(f"      {line.strip()}")
        if status != 0 or (expected and expected not in output):
            raise harness.GuestFailed(f"{name}: status {status}, expected {expected!r}:\n{output}")


def main():
    disk = sys.argv[1]
    with tempfile.TemporaryDirectory(dir=harness.CACHE) as folder:
        with harness.Guest(cpus=2, memory="1GiB", kernel=disk + ".kernel", initrd=disk + ".initrd", net="user",
                           disk=f"{disk},overlay={folder}/overlay",
                           append="console=ttyS0 quiet root=/dev/vda") as guest:
            print("booting Debian with 2 harts and 1 GiB", flush=True)
            log_in(guest)
            print(f"  kernel to first program {guest.seconds_to(harness.USER_SPACE_IS_UP):.2f} s, "
                  f"to the login prompt {guest.seconds_to('login:'):.2f} s")
            work(guest)
            guest.send("systemctl poweroff\n")
            status = guest.wait(180)
    print("the guest powered off: everything works" if status == 0 else f"the guest ended with status {status}")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except harness.GuestFailed as failure:
        sys.exit(f"demo: {failure}")
