#!/bin/sh
# SPDX-License-Identifier: ISC
# The systemd unit is as closed as promised: an exposure of at most 2.0 (0 best, 10 worst).

unit=${1:-packaging/systemd/natd.service}
threshold=20 # tenths

if ! command -v systemd-analyze >/dev/null || ! systemd-analyze security --help 2>/dev/null | grep -q offline; then
	echo "unit: skipped: there is no systemd-analyze that works offline"
	exit 77
fi
[ -f "$unit" ] || { echo "unit: skipped: the unit is not installed by this build"; exit 77; }
systemd-analyze security --no-pager --offline=true --threshold=$threshold "$unit" >unit-security.log 2>&1
status=$?
[ $status -eq 0 ] || cat unit-security.log
tail -n 1 unit-security.log
exit $status
