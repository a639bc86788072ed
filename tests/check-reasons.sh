#!/bin/sh
# SPDX-License-Identifier: ISC
# Every reason to drop a packet (src/core/base/reason.h) is given somewhere in the core, and expected by at
# least one unit test. That natctl(8) explains each is for check-counters.sh.

root=${srcdir:-.}
status=0
reasons=$(sed -n 's/^\tX(\(DROP_[A-Z0-9_]*\),.*/\1/p' "$root/src/core/base/reason.h")

if [ -z "$reasons" ]; then
	echo "reasons: none found in src/core/base/reason.h" >&2
	exit 1
fi
for reason in $reasons; do
	if ! grep -qw "$reason" "$root"/src/core/*/*.c; then
		echo "reasons: $reason is never given" >&2
		status=1
	fi
	# The tables of check_tcp.c and check_nat_tcp.c leave the prefix to a macro.
	if ! grep -qE "\<$reason\>|DROP\(([^()]*[, ])?${reason#DROP_}\)" "$root"/tests/unit/check_*.c; then
		echo "reasons: $reason has no test" >&2
		status=1
	fi
done
exit $status
