# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What ./run and its tools share: messages, the cache, the machine's set-up. To be sourced at the project's root.

cache=${CLOISTER_CACHE:-$PWD/.cache}
mkdir -p "$cache"

say() { printf '==> %s\n' "$*" >&2; }
fail() {
  printf './run: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "packages must be installed ($*): run ./run as root once, or install sudo"
  fi
}

# Those of the named packages that the machine lacks.
missing_packages() {
  comm -23 <(printf '%s\n' "$@" | sort -u) \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

# Installs what is missing of the named packages; when nothing is, no network is needed.
install_packages() {
  local missing
  command -v dpkg-query >/dev/null || fail "this machine has no dpkg: Cloister's tools expect Debian 12"
  missing=$(missing_packages "$@")
  [[ -n $missing ]] || return 0
  say "installing" $missing
  as_root apt-get -qq update || say "the package lists could not be read anew: going on with those there are"
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing >"$cache/install.log" ||
    fail "apt-get could not install $missing (see $cache/install.log)"
}

set_up() {
  local packages
  mapfile -t packages < <(sed -E 's/[[:space:]]*(#.*)?$//; /^$/d' tools/packages.txt)
  install_packages "${packages[@]}"
}

# configure PRESET: once; CMake sees by itself when it must run again.
configure() {
  local folder=build
  [[ $1 == release ]] || folder=build/$1
  [[ -f $folder/build.ninja ]] && return 0
  say "configuring $folder"
  cmake --preset "$1" >"$cache/configure-$1.log" 2>&1 || { cat "$cache/configure-$1.log" >&2; fail "cmake --preset $1 failed"; }
}

# compile ARGUMENTS: ninja, with huge pages for what it runs: a compiler faults in hundreds of MiB, which is dear on virtual machines.
compile() { GLIBC_TUNABLES=glibc.malloc.hugetlb=1 ninja "$@"; }
