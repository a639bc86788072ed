#!/bin/sh
# SPDX-License-Identifier: ISC
# Every metric (src/core/base/reason.h, src/daemon/path/iocounter.h, src/daemon/offload/doorman.h, src/daemon/control/metrics.[ch]) is explained in natctl(8), and natctl(8)
# explains none that is not there.

root=${srcdir:-.}
status=0
names=$(sed -n 's/^\tX([A-Z0-9_]*, *"\([a-z0-9_]*\)",.*/\1/p' "$root/src/core/base/reason.h" "$root/src/daemon/path/iocounter.h" \
	"$root/src/daemon/offload/doorman.h")
said=$(sed -n 's/^\tX(\([a-z0-9_]*\), .*/\1/p' "$root/src/daemon/control/metrics.h"
	sed -n 's/.*\.name = "\([a-z0-9_]*\)",/\1/p' "$root/src/daemon/control/metrics.c")
listed=$(sed -n '/^\.Sh COUNTERS/,/^\.Sh ENVIRONMENT/s/^\.It Ic \([a-z0-9_]*\)$/\1/p' "$root/man/natctl.8.in")

if [ -z "$names" ] || [ -z "$listed" ]; then
	echo "counters: nothing found to compare" >&2
	exit 1
fi
for name in $names $said; do
	if ! echo "$listed" | grep -qx "$name"; then
		echo "counters: $name is not explained in man/natctl.8.in" >&2
		status=1
	fi
done
for name in $listed; do
	if ! echo "$names $said" | tr ' ' '\n' | grep -qx "$name"; then
		echo "counters: man/natctl.8.in explains $name, which does not exist" >&2
		status=1
	fi
done
exit $status
