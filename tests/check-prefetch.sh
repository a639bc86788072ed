#!/bin/sh
# SPDX-License-Identifier: ISC
# The core asks for memory ahead where it means to: a compiler that takes a function of prefetches for nothing drops its
# calls in silence (src/core/base/prefetch.h). Looks for the instruction, or a call of another such function, in functions that do
# nothing else.
#
#   check-prefetch.sh [OBJECT FUNCTION]...

if [ $# -eq 0 ]; then
	set -- src/core/table/libnatcore_la-session.o session_prefetch src/core/table/libnatcore_la-port.o port_prefetch
fi
machine=$(uname -m)
case $machine in
x86_64) asking='prefetch[a-z0-9]*[[:space:]]|call.*<[a-z_]*prefetch|jmp.*<[a-z_]*prefetch[a-z_]*(\.|>)' ;;
aarch64) asking='prfm[[:space:]]|bl?[[:space:]].*<[a-z_]*prefetch[a-z_]*(\.|>)' ;;
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
skipped=
while [ $# -gt 0 ]; do
	code=$(objdump -d --no-show-raw-insn "$1" | sed -n "/<$2>:/,/^\$/p" | sed 1d)
	if [ -z "$code" ]; then
		echo "prefetch: no code of $2() in $1 (link-time optimisation?)" >&2
		skipped=yes
	elif ! echo "$code" | grep -qE "[[:space:]]($asking)"; then
		echo "prefetch: $2() in $1 prefetches nothing: see src/core/base/prefetch.h" >&2
		status=1
	fi
	shift 2
done
[ $status -ne 0 ] || [ -z "$skipped" ] || exit 77
exit $status
