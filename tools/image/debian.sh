#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The Debian guests of tests, benchmarks and the demo: disks made by `cloister image`. Made once for each set of package
# versions and tools, and then only read: who writes takes an overlay.
#
#   debian.sh CACHE [tools|applications] [--refresh]
#
# `tools`, the default, has a compiler, Python, Redis and a stress test; `applications` has the servers and the Java that are
# shown to shrink when memory is short. Prints the disk's path; its .kernel and .initrd lie beside it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/archive.sh"

cache=${1:?usage: debian.sh CACHE [tools|applications] [--refresh]} kind=tools refresh=no
for word in "${@:2}"; do
  case $word in
    tools | applications) kind=$word ;;
    --refresh) refresh=yes ;;
    *) archive_fail "unknown word $word: debian.sh knows tools, applications and --refresh" ;;
  esac
done
case $kind in
  tools) include=gcc,libc6-dev,python3,redis-server,stress-ng ;;
  applications) include=memcached,openjdk-21-jdk-headless,python3,redis-server,valkey-server ;;
esac

key_of() {
  { apt-cache show --no-all-versions linux-image-riscv64 ${include//,/ } systemd libc6 | grep -E '^(Package|Version):'
    cat "$here"/{init,initrd.py,image.sh,root.sh,second-stage,unpack.py,debian.sh}; } | sha256sum | cut -c 1-16
}

key=$(
  archive_open "$cache" trixie auto
  if [[ $refresh == yes ]]; then archive_update; else archive_lists; fi
  key_of
)
out=$cache/debian-$key
exec {lock}>"$cache/debian-$kind.lock" && flock "$lock" # whoever comes second finds it made
if [[ ! -e $out/disk ]]; then
  work=$(mktemp -d "$cache/debian.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  CLOISTER=${CLOISTER:-$here/../../build/bin/cloister} \
    "$here/image.sh" "$work/disk" --cache "$cache" --size 4GiB --slim --include "$include" >&2 ||
    { cp "$work/disk.log" "$cache/debian-$kind.log" 2>/dev/null; archive_fail "no Debian guest (the console is in $cache/debian-$kind.log)"; }
  chmod 755 "$work"
  chmod 444 "$work/disk"
  mv -T "$work" "$out"
  trap - EXIT
fi
printf '%s\n' "$out/disk"
