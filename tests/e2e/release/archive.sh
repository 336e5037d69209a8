#!/usr/bin/env bash
# The archive and the package of `make release`, and the files of `make install`:
# each file is in its place, and files of the administrator are kept.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"

VERSION=$("$BIFROST" --version)
VERSION=${VERSION#bifrost }
# The names are for the processor of this machine, as the kernel and as Debian call it.
NAME=bifrost-$VERSION-$(uname -m)-linux
DEBIAN_CPU=$(dpkg --print-architecture)
readonly NAME DEBIAN_CPU
readonly PACKAGE=$DIST/bifrost_${VERSION}_$DEBIAN_CPU.deb

# files FOLDER: its files with their modes, sorted by name.
files() {
  (cd "$1" && find . -type f -printf '%m %P\n' | LC_ALL=C sort -k 2)
}

# man_pages FOLDER [SUFFIX]: the lines of all man pages in a folder.
man_pages() {
  local page
  {
    for page in $("$BIFROST" man --list); do echo "644 $1/bifrost-$page.7${2-}"; done
    echo "644 $1/bifrost.1${2-}"
  } | LC_ALL=C sort -k 2
}

# manual FOLDER: the lines of the pages of the manual in a folder.
manual() {
  local page
  for page in $("$BIFROST" man --list); do echo "644 $1/$page.md"; done | LC_ALL=C sort -k 2
}

repository() {
  make --no-print-directory --directory ../.. "$@" >/dev/null
}

echo "- nothing else was packed"
expect "$(files "$DIST")" "644 $NAME.tar.gz
644 ${PACKAGE##*/}"

echo "- the archive has all files in one folder, owned by root"
tar --extract --file "$DIST/$NAME.tar.gz" --directory "$DIRECTORY"
expect "$(files "$DIRECTORY/$NAME")" "644 CHANGELOG.md
644 LICENSE.md
644 README.md
755 bifrost
644 bifrost.env
644 completions/_bifrost
644 completions/bifrost.bash
644 completions/bifrost.fish
$(man_pages man)
$(manual manual)
644 systemd/bifrost.service
644 systemd/bifrost.socket"
expect "$(tar --list --verbose --numeric-owner --file "$DIST/$NAME.tar.gz" | awk '{ print $2 }' | sort -u)" 0/0
cmp "$DIRECTORY/$NAME/bifrost" "$BIFROST"
cmp "$DIRECTORY/$NAME/systemd/bifrost.service" <("$BIFROST" unit service)
cmp "$DIRECTORY/$NAME/systemd/bifrost.socket" <("$BIFROST" unit socket)

echo "- the package is for this machine, and has all files in Debian's places"
expect "$(dpkg-deb --field "$PACKAGE" Architecture)" "$DEBIAN_CPU"
dpkg-deb --extract "$PACKAGE" "$DIRECTORY/package"
cmp "$DIRECTORY/package/usr/bin/bifrost" "$BIFROST"
expect "$(files "$DIRECTORY/package")" "644 etc/bifrost/bifrost.env
755 usr/bin/bifrost
644 usr/lib/systemd/system/bifrost.service
644 usr/lib/systemd/system/bifrost.socket
644 usr/share/bash-completion/completions/bifrost
644 usr/share/doc/bifrost/README.md
644 usr/share/doc/bifrost/changelog.gz
644 usr/share/doc/bifrost/copyright
$(manual usr/share/doc/bifrost/manual)
644 usr/share/fish/vendor_completions.d/bifrost.fish
644 usr/share/man/man1/bifrost.1.gz
$(man_pages usr/share/man/man7 .gz | grep -v '/bifrost.1')
644 usr/share/zsh/vendor-completions/_bifrost"
grep -Fx 'ExecStart=/usr/bin/bifrost serve' "$DIRECTORY/package/usr/lib/systemd/system/bifrost.service"

echo "- make install takes a prefix"
root=$DIRECTORY/root
repository install DESTDIR="$root" PREFIX=/opt/bifrost
readonly INSTALLED="644 opt/bifrost/lib/systemd/system/bifrost.service
644 opt/bifrost/lib/systemd/system/bifrost.socket
644 opt/bifrost/share/bash-completion/completions/bifrost
644 opt/bifrost/share/fish/vendor_completions.d/bifrost.fish
644 opt/bifrost/share/man/man1/bifrost.1
$(man_pages opt/bifrost/share/man/man7 | grep -v '/bifrost.1')
644 opt/bifrost/share/zsh/site-functions/_bifrost"
expect "$(files "$root")" "644 etc/bifrost/bifrost.env
755 opt/bifrost/bin/bifrost
$INSTALLED"
grep -Fx 'ExecStart=/opt/bifrost/bin/bifrost serve' "$root/opt/bifrost/lib/systemd/system/bifrost.service"

echo "- installing again keeps the settings; uninstalling keeps the settings and the secret"
echo PORT=8080 >"$root/etc/bifrost/bifrost.env"
echo secret >"$root/etc/bifrost/secret"
repository install DESTDIR="$root" PREFIX=/opt/bifrost
expect "$(<"$root/etc/bifrost/bifrost.env")" PORT=8080
repository uninstall DESTDIR="$root" PREFIX=/opt/bifrost
expect "$(files "$root")" "644 etc/bifrost/bifrost.env
644 etc/bifrost/secret"
expect "$(<"$root/etc/bifrost/bifrost.env")" PORT=8080
