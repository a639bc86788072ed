#!/bin/sh
# SPDX-License-Identifier: ISC
# The programs carry the hardening that configure chose flags for (docs: SECURITY.md). Make gives the
# flags: HARDEN_CFLAGS, TOOL_CFLAGS.
#
#   check-hardening.sh [PROGRAM...]
#
# shellcheck disable=SC2317

if [ $# -eq 0 ]; then
	set -- ./natd ./natctl
	[ ! -f ./natd-log ] || set -- "$@" ./natd-log
	[ ! -f ./natd-web ] || set -- "$@" ./natd-web
fi
failed=0

skip()
{
	echo "hardening: skipped: $*"
	exit 77
}
# expect PROGRAM WHAT COMMAND...
expect()
{
	program=$1 what=$2
	shift 2
	"$@" && return
	echo "$program: $what"
	failed=1
}
has()
{
	readelf -W "$2" "$1" 2>/dev/null | grep -qE -- "$3"
}
lacks()
{
	! has "$@"
}
imports()
{
	nm -D --undefined-only "$1" | grep -qE "$2"
}
begins_with_endbr()
{
	objdump -d --disassemble=main "$1" | grep -A1 '<main>:' | grep -q 'endbr64'
}

[ -n "$HARDEN_CFLAGS" ] || skip "configured without"
[ -z "$TOOL_CFLAGS" ] || skip "a build for tools (sanitizers, coverage, fuzzing)"
command -v readelf >/dev/null || skip "there is no readelf"

for program; do
	[ -f "$program" ] || { echo "$program: is not there"; failed=1; continue; }
	expect "$program" "not position independent" has "$program" -h 'Type: +DYN'
	expect "$program" "not marked as PIE" has "$program" -d 'FLAGS_1.*PIE'
	expect "$program" "no RELRO" has "$program" -l 'GNU_RELRO'
	expect "$program" "symbols are not bound at the start: RELRO is partial" has "$program" -d 'BIND_NOW|FLAGS_1.*NOW'
	expect "$program" "no stack header: it would be executable" has "$program" -l 'GNU_STACK'
	expect "$program" "an executable stack" lacks "$program" -l 'GNU_STACK.* RWE '
	expect "$program" "a segment both writable and executable" lacks "$program" -l 'LOAD.* RWE '
	expect "$program" "relocations in code" lacks "$program" -d 'TEXTREL'
	expect "$program" "a library path inside" lacks "$program" -d 'RPATH|RUNPATH'
	expect "$program" "no stack protector" imports "$program" '__stack_chk_fail'
	expect "$program" "no fortified calls" imports "$program" '__[a-z]+_chk'
	case "$HARDEN_CFLAGS $(uname -m)" in
	*-fcf-protection*x86_64)
		expect "$program" "no landing pads for indirect branches (CET)" begins_with_endbr "$program"
		;;
	esac
done
[ $failed -eq 0 ] && echo "hardening: PIE, full RELRO, no RWX, stack protector, FORTIFY, CET where there is any"
exit $failed
