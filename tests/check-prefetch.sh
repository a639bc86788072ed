#!/bin/sh
# SPDX-License-Identifier: ISC
# The core asks for memory ahead where it means to: a compiler that takes a prefetch for nothing drops it in silence
# (src/core/prefetch.h). Looks for the instruction in functions whose prefetches come from inline ones.
#
#   check-prefetch.sh [OBJECT FUNCTION]...

if [ $# -eq 0 ]; then
	set -- src/core/libnatcore_la-session.o session_prefetch \
		src/core/libnatcore_la-session_find.o table_probe \
		src/core/libnatcore_la-port.o table_port_prefetch
fi
machine=$(uname -m)
case $machine in
x86_64) instruction='prefetch[a-z0-9]*' ;;
aarch64) instruction='prfm' ;;
*)
	echo "prefetch: not known how $machine asks for memory" >&2
	exit 77
	;;
esac
if ! command -v objdump >/dev/null; then
	echo "prefetch: no objdump" >&2
	exit 77
fi

status=0
while [ $# -gt 0 ]; do
	code=$(objdump -d --no-show-raw-insn "$1" | sed -n "/<$2>:/,/^\$/p")
	if [ -z "$code" ]; then
		echo "prefetch: no $2() in $1" >&2
		status=1
	elif ! echo "$code" | grep -q "[[:space:]]${instruction}[[:space:]]" &&
		! echo "$code" | grep -q 'call.*prefetch'; then
		echo "prefetch: $2() in $1 asks for nothing: see src/core/prefetch.h" >&2
		status=1
	fi
	shift 2
done
exit $status
