# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: ISC
# A real systemd to test in, for tests/systemd/run and tests/packages/run: a minimal Debian (debootstrap, kept for the next
# time) that systemd-nspawn boots, and hosts beside it in network namespaces. Bash functions; set before them:
#
#   test_name   for messages, which begin with it
#   cache       a directory for what is kept
#   work        a directory of this run alone, in which boot_up finds `root`
#


cannot()
{
	echo "$test_name: skipped: $*"
	exit 77
}

# can_boot TOOL...: whether this machine can do what follows, and has the tools.
can_boot()
{
	local tool
	[ "$(id -u)" -eq 0 ] || cannot "it needs root"
	for tool in debootstrap systemd-nspawn nsenter curl "$@"; do
		command -v "$tool" >/dev/null || cannot "there is no $tool"
	done
	[ -c /dev/net/tun ] || cannot "there is no /dev/net/tun"
	mkdir -p "$cache" || exit 1
}

# apart SCRIPT ARGUMENT...: runs the script again where a boot finds only a network, mounts and a process tree of its own.
apart()
{
	NATD_SYSTEMD_INSIDE=1 unshare --net --mount --pid --fork --kill-child --mount-proc "$@"
}

# The mirror that this machine's own apt uses.
mirror()
{
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $1" | head -n 1
}
# system PACKAGES: prints the tarball of a minimal Debian with these packages (separated by commas), made if need be. What
# `more DIRECTORY` then does to the tree, where there is such a function, is in it too.
system()
{
	local kept proxy new=$cache/new
	kept=$cache/debian-$({ echo "$1"; declare -f more natd_libraries; } | sha256sum | cut -c 1-12).tar
	echo "$kept"
	[ ! -s "$kept" ] || return 0
	# shellcheck source=/dev/null
	. /etc/os-release
	[ "$ID" = debian ] || cannot "this is not Debian: no mirror is known" >&2
	proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")
	[ -z "$proxy" ] || export http_proxy=$proxy
	rm -rf "$new"
	debootstrap --variant=minbase --include="$1" "$VERSION_CODENAME" "$new" "$(mirror "$VERSION_CODENAME")" \
		>"$cache/debootstrap.log" 2>&1 || cannot "debootstrap failed: $(tail -n 1 "$cache/debootstrap.log")" >&2
	! declare -F more >/dev/null || more "$new" >>"$cache/debootstrap.log" 2>&1 ||
		cannot "preparing the system failed: $(tail -n 1 "$cache/debootstrap.log")" >&2
	tar -C "$new" -cf "$kept.new" . && mv "$kept.new" "$kept" && rm -rf "$new" || exit 1
}

# until_true SECONDS COMMAND...
until_true()
{
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		read -rt 0.1 <> <(:)
	done
	return 0
}

# Boots $work/root.
boot_up()
{
	local boot=$work/boot.log
	mknod -m 0666 "$work/tun" c 10 200 || cannot "no device node can be made"
	systemd-nspawn --quiet --boot --register=no --keep-unit --private-network --capability=CAP_BPF,CAP_PERFMON \
		--system-call-filter=bpf --bind="$work/tun:/dev/net/tun" --machine=natd-test --directory="$work/root" --console=pipe >"$boot" 2>&1 </dev/null &
	nspawn=$!
	until_true 30 container_started || { cat "$boot"; cannot "systemd-nspawn does not start here: $(tail -n 1 "$boot")"; }
	until_true 120 booted || { cat "$boot"; cannot "the container does not come up: $(tail -n 1 "$boot")"; }
}
container_started()
{
	leader=$(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null)
	leader=${leader%% *}
	[ -n "$leader" ] && [ "$(cat "/proc/$leader/comm")" = systemd ]
}
# inside COMMAND...: in the booted system.
inside()
{
	nsenter --target "$leader" --all --wd -- env -i PATH=/usr/sbin:/usr/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive "$@"
}
booted()
{
	inside systemctl is-system-running | grep -qE 'running|degraded'
}

# namespace VARIABLE: a host beside it, whose number goes into the variable.
namespace()
{
	unshare --net sleep infinity &
	local pid=$!
	printf -v "$1" %s $pid
	until_true 5 other_net $pid
	in_ns $pid ip link set lo up
}
other_net()
{
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}
in_ns()
{
	nsenter --net="/proc/$1/ns/net" -- "${@:2}"
}
# cable DEVICE ADDRESS HOST ADDRESS: from the container's DEVICE to a host's eth0.
cable()
{
	ip link add name "$1" netns "$leader" type veth peer name eth0 netns "$3" &&
		in_ns "$leader" ip addr add "$2/24" dev "$1" && in_ns "$leader" ip link set "$1" up &&
		in_ns "$3" ip addr add "$4/24" dev eth0 && in_ns "$3" ip link set eth0 up
}
# web HOST PORT: a server whose page is the address that asked.
web()
{
	in_ns "$1" python3 -c '
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Page).serve_forever()' "$2" >/dev/null 2>&1 &
	until_true 10 in_ns "$1" curl -so /dev/null "http://127.0.0.1:$2/"
}

# converse CLIENT SERVER ADDRESS PORT: over a connection the server counts, a number each 5 ms, until conversation_went_on.
converse()
{
	in_ns "$2" python3 -c '
import socket, sys, time
peer = socket.create_server(("", int(sys.argv[1]))).accept()[0]
n = 0
while True:
    peer.sendall(b"%d\n" % n)
    n += 1
    time.sleep(0.005)' "$4" 2>/dev/null &
	until_true 10 in_ns "$2" sh -c "ss -Hltn sport = $4 | grep -q ."
	in_ns "$1" python3 -c '
import os, socket, sys, time
address, port, enough = sys.argv[1:]
stream = socket.create_connection((address, int(port)), 20).makefile("rb")
longest, last, n = 0, time.monotonic(), 0
while not os.path.exists(enough):
    line = stream.readline()
    assert line == b"%d\n" % n, (n, line)
    longest, last, n = max(longest, time.monotonic() - last), time.monotonic(), n + 1
print(f"{n} numbers, longest pause {longest * 1000:.0f} ms")' "$3" "$4" "$work/enough-$4" >"$work/conversation-$4" 2>&1 &
	until_true 10 entry "$4"
}
# The entry of the connection to a PORT: its outside port and its id.
entry()
{
	inside natctl list -p tcp --dport "$1" 2>/dev/null | grep -o 'dport=[0-9]* packets.*' | tail -n 1 |
		sed -n 's/.* dport=\([0-9]*\) .* \(id=[0-9]*\)$/\1 \2/p' | grep .
}
conversation_went_on()
{
	touch "$work/enough-$1"
	until_true 25 test -s "$work/conversation-$1"
	grep 'longest pause' "$work/conversation-$1" >&3 || { cat "$work/conversation-$1"; return 1; }
}

passed=0 failed=0
exec 3>&1
# check WHAT COMMAND...: one test.
check()
{
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf '%s: FAILED: %s\n%s\n' "$test_name" "$what" "$out"
	fi
}
is()
{
	[ "$1" = "$2" ] || { echo "\"$1\" where \"$2\" was expected"; return 1; }
}
# Of natd.service.
property()
{
	inside systemctl show -P "$1" natd
}
journal_says()
{
	inside journalctl -u natd --no-pager | grep -qF "$1"
}
# Rules, routes and settings of the booted system, to compare.
network()
{
	inside ip -4 rule
	inside ip -4 route show table all
	inside sh -c 'cd /proc/sys/net/ipv4/conf && grep -r . lan0 wan0 all default' 2>/dev/null | sort
}
