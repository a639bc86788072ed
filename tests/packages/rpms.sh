# shellcheck shell=bash disable=SC2154,SC2034,SC2317
# SPDX-License-Identifier: ISC
# A fifth boot for tests/packages/run: the RPMs, installed by Debian's rpm for want of another system. Their dependencies are
# named as Fedora has them, so rpm gets an option to ignore these; everything else is as it would be there.

rpm_system()
(
	more()
	{
		natd_libraries "$1" && chroot "$1" apt-get -q -y --no-install-recommends install rpm libbpf1 libconfig9 libglib2.0-0 libevent-core-2.1-7 \
			libevent-extra-2.1-7 libjansson4 libmnl0 libncurses6 libseccomp2 libpcap0.8 libsmartcols1 libfixbuf9
	}
	system systemd,systemd-sysv,dbus,iproute2,kmod,procps
)
# rpm_does OPTION... : with these packages' files.
rpm_does()
{
	inside sh -c "rpm --force-debian --nodeps $*"
}
# Each file as the package has it, but those that an administrator changes.
files_are_the_packages()
{
	local wrong
	wrong=$(inside sh -c 'rpm --force-debian -V --nodeps natd natd-log natd-web natlab' | grep -v ' c /etc/')
	[ -z "$wrong" ] || { echo "$wrong"; return 1; }
}
rpm_gone()
{
	! inside sh -c 'ls -d /usr/sbin/natd* /usr/bin/natctl /usr/bin/natlab /usr/lib/systemd/system/natd* /usr/share/natd /usr/libexec/natd \
		/usr/share/man/man8/nat* /usr/share/bash-completion/completions/nat* 2>/dev/null | grep .'
}

rpms()
{
	NATD_SYSTEM=$NATD_OWN_SYSTEM make_root
	mkdir "$work/root/root/rpms" && cp "$NATD_RPMS"/*.rpm "$work/root/root/rpms" || exit 1
	boot_up
	lay_cables
	check "rpm -i natd" rpm_does "-i /root/rpms/natd-[0-9]*.rpm"
	check "rpm: the account" account
	check "rpm: disabled until it is configured" unit_state natd.service disabled
	check "rpm: not running either" is "$(property ActiveState)" inactive
	configured '"eth1"' 'translation_log = { target = "file:/var/log/natd/translations.log"; };'
	check "rpm: systemctl enable --now natd" inside systemctl enable --now natd
	check "rpm -i the others" rpm_does "-i /root/rpms/natd-[wl]*.rpm /root/rpms/natlab*.rpm"
	check "rpm: each file as packaged" files_are_the_packages
	check "rpm: a page" fetches
	check "rpm: doctor finds no fault" doctor_is_content
	check "rpm: natd-web starts" inside systemctl start natd-web
	check "rpm: natd-web shows natd" web_serves
	check "rpm: natd-log starts" inside systemctl start natd-log
	check "rpm: a page to be logged" fetches
	check "rpm: natd-log writes it down" until_true 20 grep -qs 10.8.0.2 "$work/root/var/log/private/natd/translations.log"
	check "rpm: natlab builds a laboratory" laboratory
	converse "$client" "$server" 203.0.113.80 91
	local conversation
	conversation=$(entry 91)
	check "rpm: a connection is open" test -n "$conversation"
	check "rpm --reinstall" rpm_does "--reinstall /root/rpms/*.rpm"
	check "rpm: the same entry afterwards" same_entry 91 "$conversation"
	check "rpm: natd runs" runs_what_is_installed natd
	check "rpm: the administrator's configuration is kept" inside grep -q eth1 /etc/natd/natd.conf
	check "rpm: still enabled" unit_state natd.service enabled
	check "rpm: the connection went on" conversation_went_on 91
	check "rpm -e" rpm_does "-e natlab natd-web natd-log natd"
	check "rpm: natd does not run any more" is "$(inside pgrep -c '^natd')" 0
	check "rpm: nothing stays but the configuration" rpm_gone
	check "rpm: and that is kept" inside sh -c 'grep -q eth1 /etc/natd/natd.conf.rpmsave'
}
