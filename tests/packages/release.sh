# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: ISC
# `make release` for tests/packages/run: in a clone, with a key that is thrown away, as version 9.9.

# signed COMMAND...: with that key alone.
signed()
{
	GNUPGHOME=$keys GIT_COMMITTER_NAME=natd GIT_COMMITTER_EMAIL=test@natd.invalid GIT_AUTHOR_NAME=natd \
		GIT_AUTHOR_EMAIL=test@natd.invalid "$@"
}
# A clone with the working tree's files, committed; a key.
release_tree()
{
	local clone=$work/release
	git clone -q --shared "$tree" "$clone" && git -C "$tree" ls-files -z | (cd "$tree" && xargs -0 ls -d 2>/dev/null) |
		tar -C "$tree" -cf - -T - | tar -C "$clone" -xf - || return 1
	git -C "$clone" add -A && signed git -C "$clone" commit -q --allow-empty -m 'the working tree' &&
		signed gpg --batch --quiet --passphrase '' --quick-gen-key 'natd <test@natd.invalid>' default default never
}
released_is_configured()
{
	(cd "$work/release" && ./autogen.sh && ./configure --quiet --prefix=/usr --sysconfdir=/etc) >"$work/release.log" 2>&1 ||
		{ tail -n 20 "$work/release.log"; return 1; }
}
make_release()
{
	signed make -s -C "$work/release" release RELEASE_TEST=dist
}
# Without a tag nothing is made; with one, each place that names another version is named, and nothing is made.
refuses_without_a_tag()
{
	released_is_configured || return 1
	! make_release >"$work/said" 2>&1 || { echo "made without a tag"; return 1; }
	grep 'is no tag' "$work/said" || { cat "$work/said"; return 1; }
	signed git -C "$work/release" tag -s -m 9.9 9.9 && released_is_configured || return 1
	! make_release >"$work/said" 2>&1 || { echo "made in spite of NEWS"; return 1; }
	is "$(grep -o '^release: [^:]*' "$work/said" | LC_ALL=C sort -u | sed 's/^release: //' | xargs)" \
		"NEWS debian/changelog packaging/openwrt/Makefile packaging/rpm/natd.spec" && no_tarball
}
no_tarball()
{
	! ls "$work"/release/*.tar.xz* 2>/dev/null
}
name_the_version()
{
	cd "$work/release" && sed -i -E '0,/^[0-9.]+ .*/s//9.9 (2026-12-01)/' NEWS && sed -i '1s/(.*)/(9.9-1)/' debian/changelog &&
		sed -i -E 's/^(PKG_VERSION:=).*/\19.9/' packaging/openwrt/Makefile &&
		sed -i -E 's/(natd_version )[0-9.]+\}/\19.9}/; s/^(\* .* - ).*/\19.9-1/' packaging/rpm/natd.spec
}
releases()
{
	(name_the_version) && signed git -C "$work/release" commit -q -a -m 9.9 && signed git -C "$work/release" tag -s -f -m 9.9 9.9 &&
		released_is_configured && make_release
}
# By the commands that `make release` prints; not for a tarball with one byte more.
signature_holds()
{
	cd "$work/release" && signed gpg --verify natd-9.9.tar.xz.asc && sha256sum -c natd-9.9.tar.xz.sha256 || return 1
	cp natd-9.9.tar.xz "$work/more.tar.xz" && echo >>"$work/more.tar.xz" || return 1
	! signed gpg --verify natd-9.9.tar.xz.asc "$work/more.tar.xz"
}
tarball_is_of_the_tag()
{
	rm -rf "$work/unpacked" && mkdir "$work/unpacked" && tar -C "$work/unpacked" -xf "$work/release/natd-9.9.tar.xz" &&
		cd "$work/unpacked/natd-9.9" && is "$(sh ./get-version)" 9.9 && grep -q "natd 9.9" docs/html/natd.8.html &&
		ls docs/html/natctl.8.html docs/html/natd.conf.5.html docs/html/natd-web.8.html docs/html/natd-log.8.html docs/html/natlab.1.html
}
check_release()
{
	local tool keys
	for tool in gpg mandoc; do
		command -v $tool >/dev/null || { echo "packages: left out: there is no $tool to make a release with"; return; }
	done
	[ -e "$tree/.git" ] || { echo "packages: left out: a release, which is made in a clone alone"; return; }
	keys=$(mktemp -d) || exit 1 # a short name: a socket is in there
	check "a release: a clone and a key" release_tree
	check "a release: nothing without a tag, and each version is looked at" refuses_without_a_tag
	check "a release: made" releases
	check "a release: signature and checksum" signature_holds
	check "a release: the tarball has its version, and the manual as pages" tarball_is_of_the_tag
	GNUPGHOME=$keys gpgconf --kill all
	rm -rf "$keys"
}
