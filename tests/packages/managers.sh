# shellcheck shell=bash disable=SC2154,SC2034,SC2317
# SPDX-License-Identifier: ISC
# A fourth boot for tests/packages/run: natd beside the programs that manage a host's network and its firewall, set up by the
# blocks of docs/recipes.md as they stand there.

managed_system()
(
	more()
	{
		natd_libraries "$1" &&
			chroot "$1" apt-get -q -y --no-install-recommends install firewalld ifupdown iptables \
				network-manager nftables ufw wireguard-go wireguard-tools &&
			systemctl --root="$1" disable firewalld NetworkManager NetworkManager-wait-online ufw
	}
	system systemd,systemd-sysv,dbus,iproute2,kmod,procps
)

# What every manager is held to: pages for a host on the wire and for one in the tunnel, natd's rules in place.
serves()
{
	until_true 20 fetches || fetches
}
tunnel_serves()
{
	until_true 20 page "$peer1" http://203.0.113.80/ 203.0.113.1 || page "$peer1" http://203.0.113.80/ 203.0.113.1
}
rules()
{
	inside ip -4 rule
}
same_rules()
{
	diff <(echo "$rules_before") <(rules)
}
doctor_finds()
{
	local found
	found=$(inside natctl -j doctor | python3 -c '
import json, sys
print(*[c["id"] for c in json.load(sys.stdin)["checks"] if c["severity"] == "fail"])')
	is "$found" "$1"
}
soon_doctor_finds()
{
	until_true 20 doctor_finds "$1" || doctor_finds "$1"
}
bare()
{
	local device
	for device in eth0 eth1; do
		inside ip -4 addr flush dev "$device" && inside ip link set "$device" up
	done
}
by_hand()
{
	inside ip addr add 203.0.113.1/24 dev eth0 && inside ip addr add 10.8.0.1/24 dev eth1
}
# configured INSIDE-INTERFACES [LINE]
configured()
{
	inside sh -c 'cat >/etc/natd/natd.conf' <<-CONFIG
		outside = { interface = "eth0"; };
		inside = { interfaces = [ $1 ]; };
		${2:-}
	CONFIG
}
natd_starts()
{
	inside systemctl restart natd
}

with_ifupdown()
{
	check "ifupdown: its recipe" recipe "ifupdown"
	check "ifupdown: natd starts" natd_starts
	check "ifupdown: a page" serves
	check "ifupdown: down and up again" inside sh -c 'ifdown eth0 && ifup eth0'
	check "ifupdown: a page afterwards" serves
	inside ifdown eth0 eth1
	inside rm /etc/network/interfaces # NetworkManager leaves what it names alone
	bare
}
# firewall NAME RELOAD...: it runs. Packets that tc programs steer it does not see, but beside a firewall natd leaves those
# only if told; what rules steer the firewall drops until its recipe is followed, and doctor says so.
firewall()
{
	local name=$1
	shift
	configured '"eth1"' 'fast_path = { steering = "bpf"; };'
	if natd_starts; then
		check "$name: a page, steered by tc programs" serves
		check "$name: doctor finds nothing, steered by tc programs" soon_doctor_finds ""
	else
		echo "packages: left out: $name beside tc programs, which this kernel does not have"
	fi
	configured '"eth1"'
	natd_starts
	check "$name: doctor finds that it drops" soon_doctor_finds firewall-forward
	check "$name: no page before the recipe" eval '! fetches'
	inside natctl doctor | grep -A1 ^FAIL >&3
	check "$name: its recipe" recipe "$name"
	check "$name: doctor finds nothing" soon_doctor_finds ""
	check "$name: a page" serves
	check "$name: reload" inside "$@"
	check "$name: a page after its reload" serves
	configured '"eth1"'
}
with_firewalld()
{
	by_hand
	check "firewalld starts" inside systemctl start firewalld
	check "firewalld: interfaces of two zones" inside sh -c 'firewall-cmd --permanent --zone=public --add-interface=eth0 &&
		firewall-cmd --permanent --zone=internal --add-interface=eth1 && firewall-cmd --reload'
	natd_starts
	firewall firewalld firewall-cmd --reload
	inside systemctl stop firewalld
	bare
}
with_ufw()
{
	by_hand
	check "ufw starts" inside sh -c 'ufw --force enable && systemctl start ufw'
	natd_starts
	firewall ufw ufw reload
	inside ufw --force disable
	bare
}
with_networkd()
{
	check "networkd: its recipe" recipe "systemd-networkd"
	check "networkd: configured" inside /lib/systemd/systemd-networkd-wait-online -i eth0 -i eth1 --timeout=30
	natd_starts
	check "networkd: a page" serves
	rules_before=$(rules)
	check "networkd: restart" inside systemctl restart systemd-networkd
	check "networkd: configured again" inside /lib/systemd/systemd-networkd-wait-online -i eth0 -i eth1 --timeout=30
	check "networkd: natd's rules are still there" same_rules
	check "networkd: a page afterwards" serves
	with_tunnel networkd
	inside rm /etc/systemd/networkd.conf.d/natd.conf
	check "networkd: restart with its defaults" inside systemctl restart systemd-networkd
	check "networkd: natd puts its rules back" until_true 20 same_rules
	check "networkd: a page in spite of its defaults" serves
	inside systemctl stop systemd-networkd.socket systemd-networkd
	bare
}
# wg0 by wg-quick, which uses wireguard-go where the kernel has no WireGuard; eth0 by the manager.
with_tunnel()
{
	check "$1: wg-quick brings the tunnel up" tunnel
	configured '"eth1", "wg0"'
	check "$1: reload" inside systemctl reload natd
	check "$1: a peer browses through the tunnel" tunnel_serves
	configured '"eth1"'
	inside systemctl reload natd
	inside systemctl stop wg-quick@wg0
}
tunnel()
{
	[ -s "$work/gateway.key" ] || vpn_keys || return 1
	sed 's|^\[Interface\]|&\nAddress = 10.9.0.1/24|' "$work/wg0.conf" >"$work/root/etc/wireguard/wg0.conf"
	inside systemctl start wg-quick@wg0 || return 1
	[ -e "$work/joined" ] || join_vpn "$peer1" wg1 "$work/peer1.key" 10.9.0.2 || return 1
	touch "$work/joined"
}
# NetworkManager knows a device and could use it: 30 is disconnected, what is below is not ready.
device_is_ready()
{
	[ "$(inside nmcli -g GENERAL.STATE device show "$1" | sed 's/ .*//')" -ge 30 ]
}
with_networkmanager()
{
	check "NetworkManager starts" inside systemctl start NetworkManager
	check "NetworkManager knows eth0" until_true 60 device_is_ready eth0
	check "NetworkManager knows eth1" until_true 60 device_is_ready eth1
	check "NetworkManager: its recipe" recipe "NetworkManager"
	check "NetworkManager: natd starts" natd_starts
	check "NetworkManager: a page" serves
	rules_before=$(rules)
	check "NetworkManager: natd's device is not managed" is "$(inside nmcli -g GENERAL.STATE device show natd0)" "10 (unmanaged)"
	check "NetworkManager: restart" inside systemctl restart NetworkManager
	check "NetworkManager: natd's rules are still there" same_rules
	check "NetworkManager: a page afterwards" serves
	check "NetworkManager: down and up again" inside sh -c 'nmcli connection down wan && nmcli connection up wan'
	check "NetworkManager: a page with the connection back" serves
	with_tunnel NetworkManager
	inside systemctl stop NetworkManager
	bare
}

managers()
{
	NATD_SYSTEM=$NATD_OWN_SYSTEM make_root
	boot_up
	lay_cables
	bare
	check "apt install ./natd_*.deb" install "./natd_*.deb"
	configured '"eth1"'
	local part
	for part in ${NATD_MANAGERS:-ifupdown firewalld ufw networkd networkmanager}; do
		"with_$part"
	done
}
