#!/bin/sh
# SPDX-License-Identifier: ISC
# Outside of a git checkout the version is that of NEWS, and that of a tarball where there is one (fault 44).
root=${srcdir:-.}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cp "$root/get-version" "$root/NEWS" "$work" || exit 1
want=$(sed -n 's/^\([0-9][0-9.]*\)\( .*\)*$/\1/p' "$root/NEWS" | head -n 1)
got=$(sh "$work/get-version")
if [ -z "$want" ] || [ "$got" != "$want" ]; then
	echo "version: \"$got\" in a copy without git, NEWS says \"$want\""
	exit 1
fi
echo 9.8 >"$work/.dist-version"
got=$(sh "$work/get-version")
[ "$got" = 9.8 ] || { echo "version: \"$got\" in a tarball of 9.8"; exit 1; }
# As `make install` leaves it: a state directory for natd --state (fault 45), the example beside natd.conf (fault 50).
grep -q '^StateDirectory=natd$' "$root/packaging/systemd/natd.service.in" || { echo "no StateDirectory"; exit 1; }
for page in "$root"/man/*.in; do
	grep -q '^\.Os natd ' "$page" || { echo "$page: the footer names another system"; exit 1; }
done
