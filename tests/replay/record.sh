#!/bin/bash
# SPDX-License-Identifier: ISC
# Records the captures own-* of this corpus: real programs of Debian 12 in two network namespaces, joined by one cable.
# As root. Nothing is installed: the packages are unpacked below DIR.
#
#   record.sh DIR [NAME...]      leaves DIR/own-NAME.pcap; import.py takes them into the corpus

set -eu
dir=$(realpath "$1")
shift
names=${*:-sctp rtp game sip}
here=$(dirname "$(realpath "$0")")
packages="libusrsctp2 libusrsctp-examples bzflag-server gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-tools
	sip-tester libgsl27 libgslcblas0"
root=$dir/root

if [ ! -d "$root" ]; then
	mkdir -p "$root"
	# shellcheck disable=SC2086
	(cd "$dir" && apt-get download $packages)
	for deb in "$dir"/*.deb; do
		dpkg -x "$deb" "$root"
	done
fi

# The rest runs in namespaces of its own: "here" is the client, $peer the server.
if [ -z "${RECORDING:-}" ]; then
	# shellcheck disable=SC2086
	RECORDING=1 exec unshare --net --mount --fork --kill-child "$here/record.sh" "$dir" $names
fi
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu GST_PLUGIN_PATH=$root/usr/lib/x86_64-linux-gnu/gstreamer-1.0
export GST_REGISTRY=$dir/gst-registry HOME=$dir
PATH=$PATH:$root/usr/bin:$root/usr/games:$root/usr/lib/usrsctp:$root/usr/sbin
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/run 2>/dev/null || true
sleep 1000000 &
holder=$!
unshare --net sleep 1000000 &
peer=$!
trap 'kill $peer $holder $(jobs -p) 2>/dev/null' EXIT
until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.1; done
there()
{
	nsenter --net="/proc/$peer/ns/net" "$@"
}
# In the background alone: $! is then the server itself.
serve()
{
	exec nsenter --net="/proc/$peer/ns/net" "$@"
}
ip link add cable type veth peer name cable netns $peer
for at in "" there; do
	$at ip link set lo up
	$at ip link set cable up
	$at sysctl -qw net.ipv6.conf.all.disable_ipv6=1
	$at ethtool -K cable tx off tso off gso off gro off >/dev/null 2>&1 || true
done
ip addr add 10.1.0.1/24 dev cable
there ip addr add 10.1.0.2/24 dev cable
there ping -c1 -W5 -q 10.1.0.1 >/dev/null

# record NAME FILTER: what follows until "done_with", on the cable.
record()
{
	tcpdump -q -U -i cable -w "$dir/raw.pcap" "$@" 2>"$dir/tcpdump.log" </dev/null &
	dumping=$!
	until grep -q 'listening on' "$dir/tcpdump.log"; do sleep 0.1; done
}
done_with()
{
	sleep 1
	kill -INT "$dumping"
	wait "$dumping" || true
	mv "$dir/raw.pcap" "$dir/own-$1.pcap"
	tcpdump -nr "$dir/own-$1.pcap" 2>/dev/null | wc -l
}
end()
{
	kill "$@" 2>/dev/null || true
	wait "$@" 2>/dev/null || true
}

# Over IP itself, without a kernel's SCTP: usrsctp's own test program, an association with a few messages.
take_sctp()
{
	record ip proto 132
	serve tsctp -L 10.1.0.2 </dev/null >/dev/null 2>&1 &
	server=$!
	sleep 2
	timeout 8 tsctp -L 10.1.0.1 -n 20 -l 300 10.1.0.2 </dev/null >/dev/null 2>&1 || true
	end $server
	done_with sctp
}

# A voice stream as a telephone sends it, each 20 ms, with its RTCP, both ways.
take_rtp()
{
	stream() # TO FROM-PORT TO-PORT
	{
		timeout 1.3 gst-launch-1.0 -q rtpbin name=bin \
			audiotestsrc is-live=true samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay \
			! bin.send_rtp_sink_0 bin.send_rtp_src_0 ! udpsink host="$1" port="$3" bind-port="$2" \
			bin.send_rtcp_src_0 ! udpsink host="$1" port=$(($3 + 1)) bind-port=$(($2 + 1)) sync=false async=false
	}
	record udp
	stream 10.1.0.2 5004 5004 &
	a=$!
	nsenter --net="/proc/$peer/ns/net" bash -c "$(declare -f stream); stream 10.1.0.1 5004 5004" &
	wait $a $! 2>/dev/null || true
	done_with rtp
}

# A server of the game BZFlag and its text client, which joins, talks, lists the players and leaves.
take_game()
{
	record port 5154
	serve bzfs -p 5154 -i 10.1.0.2 -worldsize 200 -noMasterBanlist -utc >"$dir/bzfs.log" 2>&1 </dev/null &
	server=$!
	until there ss -ltn | grep -q :5154; do
		kill -0 $server
		sleep 0.1
	done
	(echo "hello"; sleep 1; echo "/players"; sleep 1; echo "/flag show"; sleep 1; echo "/quit") |
		timeout 10 bzadmin -ui stdboth tester@10.1.0.2:5154 >"$dir/bzadmin.log" 2>&1 || true
	end $server
	done_with game
}

# A call of SIPp's own scenario, over UDP, with its RTP echo port.
take_sip()
{
	record udp
	serve sipp -sn uas -i 10.1.0.2 -m 2 -nostdin >/dev/null 2>&1 &
	server=$!
	until there ss -lun | grep -q :5060; do
		kill -0 $server
		sleep 0.1
	done
	timeout 20 sipp -sn uac -i 10.1.0.1 -m 2 -r 2 -d 200 -nostdin 10.1.0.2 >/dev/null 2>&1 || true
	end $server
	done_with sip
}

for name in $names; do
	declare -F "take_$name" >/dev/null || continue
	"take_$name"
done
