#!/bin/bash
# SPDX-License-Identifier: ISC
# Builds natd without each of its optional libraries, and runs the unit tests and those integration tests that the library is
# about: they pass, or are skipped with a reason.
#
#   switches.sh SOURCE-TREE DIRECTORY [SWITCH...]
#
# The last line counts. An hour on two cores without ccache.

tree=$(realpath "${1:?switches.sh SOURCE-TREE DIRECTORY [SWITCH...]}")
mkdir -p "${2:?switches.sh SOURCE-TREE DIRECTORY [SWITCH...]}" && cd "$2" || exit 1
shift 2
[ $# -gt 0 ] || set -- jansson libevent_extra libfixbuf zlib libpcap ncurses smartcols libsystemd libseccomp bpf check
passed=0 failed=0

# The test files that the switch is about, beside a few that use everything.
concerned()
{
	echo test_basic.py test_control.py
	case $1 in
	jansson | smartcols) echo test_conntrack.py test_observe.py ;;
	libevent_extra) echo test_web.py test_translation_log.py ;;
	libfixbuf | zlib) echo test_translation_log.py ;;
	libpcap) echo test_capture.py test_queues.py ;;
	ncurses) echo test_observe.py ;;
	libsystemd) echo test_log.py test_service.py test_translation_log.py ;;
	libseccomp) echo test_privileges.py test_web.py test_translation_log.py ;;
	bpf) echo test_steering.py ;;
	esac
}

try()
{
	mkdir -p "$1" && cd "$1" || return 1
	[ -f Makefile ] || "$tree/configure" --quiet --enable-werror --prefix=/usr --sysconfdir=/etc "--without-$1" || return 1
	make -s -j"$(nproc)" all && make -s -j"$(nproc)" check || return 1
	# shellcheck disable=SC2046
	[ "$1" = check ] || NATD=./natd NATCTL=./natctl "$tree/tests/integration/run" -rs $(concerned "$1")
}

for switch in "$@"; do
	if (try "$switch") >"$switch.log" 2>&1 </dev/null; then
		passed=$((passed + 1))
		echo "switches: --without-$switch: $(awk '/^# PASS: / { p += $3 } /^# SKIP: / { s += $3 } END { print p + 0 " unit tests passed, " s + 0 " skipped" }' \
			"$switch.log"), integration: $(tail -n 1 "$switch.log")"
		grep -hE '^SKIP' "$switch.log" | sed 's/^/    /'
	else
		failed=$((failed + 1))
		echo "switches: --without-$switch: FAILED. The end of $PWD/$switch.log:"
		tail -n 25 "$switch.log" | sed 's/^/    /'
	fi
done
echo "switches: $passed passed, $failed failed"
[ $failed -eq 0 ]
