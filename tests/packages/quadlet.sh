# shellcheck shell=bash disable=SC2154,SC2034,SC2317
# SPDX-License-Identifier: ISC
# The podman quadlet of packaging/oci/ for tests/packages/oci: the image as a service of a booted Debian with podman. The program
# that makes a service of a quadlet comes with podman 4.4 and later; NATD_QUADLET names one for an earlier podman.

quadlet_program()
{
	local program
	for program in "${NATD_QUADLET:-}" /usr/libexec/podman/quadlet /usr/lib/podman/quadlet; do
		[ ! -x "$program" ] || { echo "$program"; return 0; }
	done
	return 1
}
# With runc: crun raises the limit of locked memory, which takes a capability that a container may not have.
quadlet_system()
(
	more()
	{
		cp /etc/resolv.conf "$1/etc/resolv.conf" && echo 'APT::Get::Assume-Yes "true";' >"$1/etc/apt/apt.conf.d/90yes" &&
			chroot "$1" apt-get -q update && chroot "$1" apt-get -q -y --no-install-recommends install podman runc
	}
	system systemd,systemd-sysv,dbus,iproute2,kmod,procps
)
# What podman needs where no controller of cgroups is its own.
podman_by_itself()
{
	inside sh -c 'mkdir -p /etc/containers && cat >/etc/containers/storage.conf' <<-'STORAGE'
		[storage]
		driver = "overlay"
		graphroot = "/var/lib/containers/storage"
		runroot = "/run/containers/storage"
	STORAGE
	inside sh -c 'cat >/etc/containers/containers.conf' <<-'CONF'
		[containers]
		pids_limit = 0
		keyring = false
		[engine]
		runtime = "runc"
		events_logger = "file"
	CONF
}
natctl_in_it()
{
	inside podman exec natd natctl "$@"
}
quadlet_entry()
{
	natctl_in_it list -p tcp --dport "$1" 2>/dev/null | grep -o 'id=[0-9]*' | grep .
}
quadlet()
{
	local before
	export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 # --cgroups=split, which quadlets have, needs it
	mkdir "$work/root" && tar -C "$work/root" -xf "$NATD_QUADLET_SYSTEM" || exit 1
	install -D "$(quadlet_program)" "$work/root/usr/lib/systemd/system-generators/podman-system-generator"
	mv "$work/natd.tar" "$work/root/root/natd.tar" || exit 1
	boot_up
	namespace client
	namespace server
	cable lan0 10.8.0.1 "$client" 10.8.0.2 && cable wan0 203.0.113.1 "$server" 203.0.113.80 || exit 1
	in_ns "$client" ip route add default via 10.8.0.1
	web "$server" 80
	podman_by_itself
	check "quadlet: podman load" inside podman load -q -i /root/natd.tar
	inside sh -c 'mkdir -p /etc/natd && cat >/etc/natd/natd.conf' <<-'CONFIG'
		outside = { interface = "wan0"; };
		inside = { interfaces = [ "lan0" ]; };
	CONFIG
	install -D -m 0644 "$tree/packaging/oci/natd.container" "$work/root/etc/containers/systemd/natd.container"
	check "quadlet: systemctl daemon-reload" inside systemctl daemon-reload
	check "quadlet: systemctl start natd" inside systemctl start natd
	check "quadlet: active" is "$(property ActiveState)" active
	check "quadlet: natctl in the container" until_true 20 natctl_in_it status
	check "quadlet: a page through it" fetches
	before=$(quadlet_entry 80)
	check "quadlet: systemctl restart natd" inside systemctl restart natd
	check "quadlet: natctl after the restart" until_true 20 natctl_in_it status
	check "quadlet: the same entry" is "$(quadlet_entry 80)" "$before"
	check "quadlet: a page after the restart" fetches
	inside podman kill -s KILL natd >/dev/null 2>&1
	check "quadlet: started again after a crash" until_true 30 natctl_in_it status
	check "quadlet: a page after the crash" fetches
	check "quadlet: systemctl stop natd" inside systemctl stop natd
	check "quadlet: the container is gone" is "$(inside podman ps -aq)" ""
	[ "$failed" -eq 0 ] || inside journalctl --no-pager -n 60
}
