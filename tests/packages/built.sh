# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: ISC
# Packages for tests/packages/run: built in two ways, looked over, and once more with a higher version.

# Compilers by way of ccache, where it is: the three builds compile much the same.
[ ! -d /usr/lib/ccache ] || export PATH=/usr/lib/ccache:$PATH CCACHE_NOHASHDIR=1

# Into the debootstrapped tree: the Debian packages that natd's depend on, as files in apt's cache, so that apt installs
# them where there is no network.
natd_libraries()
{
	cp /etc/resolv.conf "$1/etc/resolv.conf"
	echo 'APT::Get::Assume-Yes "true";' >"$1/etc/apt/apt.conf.d/90yes"
	chroot "$1" apt-get -q update &&
		chroot "$1" apt-get -q -y --download-only install libbpf1 libglib2.0-0 libconfig9 libevent-core-2.1-7 libevent-extra-2.1-7 \
			libjansson4 libmnl0 libncurses6 libseccomp2 libpcap0.8 libsmartcols1 libfixbuf9
}
more()
{
	natd_libraries "$1" &&
		chroot "$1" apt-get -q -y --no-install-recommends install ifupdown logrotate wireguard-go wireguard-tools libgpm2
}

# logged NAME COMMAND...: its output goes into a file, and onto the screen when it fails.
logged()
{
	local log=$work/$1.log
	shift
	"$@" >"$log" 2>&1 || { tail -n 40 "$log"; return 1; }
}
from_the_tarball()
{
	logged tarball make -C "$build" deb && mkdir -p "$NATD_DEBS" && cp "$build"/packages/*_*.deb "$NATD_DEBS" && rm -f "$NATD_DEBS"/*-dbgsym_*
}
# A clone with the working tree's files: what a developer has, and nothing built in it.
from_the_tree()
{
	local clone=$work/tree/natd
	mkdir -p "$work/tree"
	if [ -e "$tree/.git" ]; then
		git clone -q --shared "$tree" "$clone" && git -C "$tree" ls-files -z | (cd "$tree" && xargs -0 ls -d 2>/dev/null) |
			tar -C "$tree" -cf - -T - | tar -C "$clone" -xf - || return 1
	else
		cp -r "$tree" "$clone" || return 1
	fi
	(cd "$clone" && DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" logged tree dpkg-buildpackage -b -us -uc)
}
# The same packages with a version that is higher by nothing else.
next_version()
{
	local deb dir
	mkdir -p "$NATD_NEXT_DEBS"
	for deb in "$NATD_DEBS"/*.deb; do
		dir=$work/next.tree
		rm -rf "$dir" && dpkg-deb -R "$deb" "$dir" &&
			sed -i -E 's/^(Version: .*)/\1+next/; s/natd \(= ([^)]*)\)/natd (= \1+next)/' "$dir/DEBIAN/control" &&
			dpkg-deb -Zgzip -z1 --root-owner-group -b "$dir" "$NATD_NEXT_DEBS/" >/dev/null || return 1
	done
}
build_packages()
{
	check "packages from the tarball" from_the_tarball
	check "packages from the tree" from_the_tree
	[ "$failed" -eq 0 ] || { echo "packages: $passed passed, $failed failed"; exit 1; }
	next_version || exit 1
}

contents()
{
	local deb
	for deb in "$1"/*.deb; do
		dpkg-deb -c "$deb" | awk -v name="$(dpkg-deb -f "$deb" Package)" '{ print name, $1, $6 }'
	done | sort
}
both_have_the_same()
{
	diff <(contents "$NATD_DEBS") <(contents "$work/tree" | grep -v dbgsym)
}
has_field()
{
	is "$(dpkg-deb -f "$NATD_DEBS/$1"_*.deb "$2")" "$3"
}
# Every program of every package.
hardened()
{
	local deb program
	for deb in "$NATD_DEBS"/*.deb; do
		dpkg-deb -x "$deb" "$work/hardened"
	done
	for program in "$work"/hardened/usr/{s,}bin/*; do
		[[ $(file -b "$program") != ELF* ]] || hardening-check --nocfprotection "$program" || return 1
	done
}
# No file in two packages.
disjoint()
{
	local twice
	twice=$(contents "$NATD_DEBS" | awk '$2 !~ /^d/ { print $3 }' | sort | uniq -d)
	[ -z "$twice" ] || { echo "$twice"; return 1; }
}
# Every file is root's, and nothing is written to by others or runs as somebody else.
of_root()
{
	local deb wrong
	wrong=$(for deb in "$NATD_DEBS"/*.deb; do dpkg-deb -c "$deb"; done |
		awk '$2 != "root/root" || $1 !~ /^[-dl]/ || ($1 ~ /^[-d]/ && $1 !~ /^([-d]rw[-x]r-[-x]r-[-x])$/)')
	[ -z "$wrong" ] || { echo "$wrong"; return 1; }
}
check_packages()
{
	check "the same files in both" both_have_the_same
	check "no file in two packages" disjoint
	check "files are root's, and writable to root alone" of_root
	local package
	for package in natd natd-log natd-web natlab; do
		check "Multi-Arch of $package" has_field $package Multi-Arch foreign
	done
	check "built without root" grep -q '^Rules-Requires-Root: no' "$tree/debian/control"
	if command -v lintian >/dev/null; then
		check "lintian finds no error" lintian --allow-root --fail-on error --suppress-tags initial-upload-closes-no-bugs "$NATD_DEBS"/*.deb
	else
		echo "packages: left out: there is no lintian"
	fi
	if command -v hardening-check >/dev/null; then
		check "every program is hardened" hardened
	else
		echo "packages: left out: there is no hardening-check (devscripts)"
	fi
	if command -v rpmbuild >/dev/null; then
		check "RPMs with the same files" built_rpms
	else
		echo "packages: left out: there is no rpmbuild (rpm)"
	fi
	if command -v blhc >/dev/null; then
		check "every compiler call is hardened" blhc --all "$work/tree.log"
	else
		echo "packages: left out: there is no blhc"
	fi
}

# What both kinds have, by package: programs, units, manual pages, completions, presets. Documentation is sorted otherwise
# in each; the profiles are Debian's, and natd.conf is a file of the RPM alone.
alike()
{
	sed -E 's|\.gz$||; s|zsh/site-functions|zsh/vendor-completions|; s|^([^ ]+) /lib/systemd/|\1 /usr/lib/systemd/|' |
		grep -vE '/usr/share/doc/|/usr/share/lintian/|/etc/apparmor.d/|/etc/natd/natd.conf$|/usr/lib/\.build-id|/usr/share/man/[^.]*$' | sort
}
built_rpms()
{
	local rpm
	logged rpm make -C "$build" rpm || return 1
	diff <(contents "$NATD_DEBS" | awk '$2 !~ /^d/ { sub(/^\./, "", $3); print $1, $3 }' | alike) \
		<(for rpm in "$build"/packages/*.rpm; do
			rpm -qp --qf '[%{=NAME} %{FILEMODES:perms} %{FILENAMES}\n]' "$rpm" | awk '$2 !~ /^d/ { print $1, $3 }'
		done | grep -v '^[^ ]*-debug' | alike) || return 1
	mkdir -p "$NATD_RPMS" && cp "$build"/packages/*.rpm "$NATD_RPMS" && rm -f "$NATD_RPMS"/*-debug*
}

# The program before there were packages, as `make install` puts it there.
make_old()
{
	local src=$work/old tarball=$cache/old-$before_packages.tar
	[ ! -s "$tarball" ] || return 0
	git -C "$tree" cat-file -e "$before_packages^{commit}" 2>/dev/null || return 1
	git clone -q --shared "$tree" "$src" && git -C "$src" checkout -q "$before_packages" || return 1
	(cd "$src" && logged old build_old) || return 1
	tar -C "$work/old.root" -cf "$tarball.new" . && mv "$tarball.new" "$tarball"
}
build_old()
{
	./autogen.sh && ./configure --quiet --prefix=/usr --sysconfdir=/etc && make -s -j"$(nproc)" &&
		make -s install DESTDIR="$work/old.root"
}
