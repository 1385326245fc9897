#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the guest's Debian package from a build of guest/ for riscv64.
#
#   deb.sh BUILD OUT
#
# Prints the package's path.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${1:?usage: deb.sh BUILD OUT} out=${2:?usage: deb.sh BUILD OUT}
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:[A-Z]*=//p' "$build/CMakeCache.txt")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/cloister-guest

DESTDIR=$root cmake --install "$build" --prefix /usr --strip >/dev/null
find "$root/usr/share/man" -type f -exec gzip -9n {} +
mkdir -p "$root/DEBIAN" "$root/usr/share/doc/cloister-guest"
install -m 644 "$here/copyright" "$root/usr/share/doc/cloister-guest/copyright"
cat >"$root/DEBIAN/control" <<CONTROL
Package: cloister-guest
Version: $version
Architecture: riscv64
Maintainer: The Cloister project <cloister@localhost>
Section: admin
Priority: optional
Depends: libc6 (>= 2.36)
Recommends: systemd
Suggests: python3
Installed-Size: $(du -sk "$root" | cut -f 1)
Description: agent and library for guests of Cloister
 cloister-agent gives memory that the guest can do without to the host, tells the guest's programs how the
 machine's memory does, and runs what the host asks for. libcloister-guest is for programs that take part
 themselves.
CONTROL
install -m 755 "$here/postinst" "$here/prerm" "$root/DEBIAN/"
printf '/etc/cloister/agent.conf\n' >"$root/DEBIAN/conffiles"
mkdir -p "$out"
package=$out/cloister-guest_${version}_riscv64.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
printf '%s\n' "$package"
