#!/bin/sh
# SPDX-License-Identifier: ISC
# Shows that the tests which hold `natctl explain` to the packet path can fail: plants one wrong branch after the other in the
# core (in a copy of one file, linked in place of the right one) and expects a test of foretell.h or check_decide.c to find it.

root=$(cd "${srcdir:-.}" && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
status=0 planted=0

libs=$(pkg-config --libs check 2>/dev/null) || { echo "explain: skipped: there is no check"; exit 77; }
core=./.libs/libnatcore.a common=./.libs/libnatcommon.a unit=tests/unit/.libs/libunit.a
for file in $core $common $unit tests/unit/check_nat_model.o tests/unit/check_decide.o; do
	[ -f "$file" ] || { echo "explain: skipped: there is no $file: make check builds it"; exit 77; }
done
if nm $core | grep -qE '__(asan|ubsan|gcov|llvm_profile)'; then
	echo "explain: skipped: built with sanitizers or for coverage: once is enough, in an ordinary build"
	exit 77
fi

# build FILE PROGRAM: the test program with $work/FILE.c in place of the core's.
build()
{
	objects=tests/unit/$2.o
	[ "$2" != check_nat_model ] || objects="$objects $(echo tests/unit/model*.o)"
	# shellcheck disable=SC2086
	${CC:-cc} -std=gnu11 -O1 -w -include ./config.h -I"$root/src" -I"$root/src/core/nat" -c -o "$work/$1.o" "$work/$1.c" &&
		${CC:-cc} -fno-lto -o "$work/$2" $objects "$work/$1.o" $unit $core $common $libs
}

# plant FILE PROGRAM SCENARIO SED: the fault that SED makes of src/core/nat/FILE.c is found by PROGRAM.
plant()
{
	planted=$((planted + 1))
	sed -e "$4" "$root/src/core/nat/$1.c" >"$work/$1.c" || exit 99
	if cmp -s "$root/src/core/nat/$1.c" "$work/$1.c"; then
		echo "explain: no longer in $1.c, plant another one: $4" >&2
		status=1
		return
	fi
	build "$1" "$2" || { echo "explain: does not build: $4" >&2; status=1; return; }
	if NATD_TEST_SEED=${SEED:-1} NATD_TEST_SCENARIO=$3 NATD_TEST_STEPS=${STEPS:-4000} "$work/$2" >"$work/out" 2>&1; then
		echo "explain: not found by $2: $4" >&2
		status=1
	elif ! grep -qE 'explained (as|with)|an explanation changed|nat_decide\(\) changed|decided twice' "$work/out"; then
		echo "explain: found, but not by what holds explain to the packet path: $4" >&2
		tail -n 5 "$work/out" >&2
		status=1
	fi
}

# explain.c: what it says of a session that exists, and of one that is new
plant explain check_nat_tcp '' 's/return r.effects & TCP_TRANSLATE ? NAT_PASS : r.reason;/return NAT_PASS;/'
plant explain check_nat_model 2 's/d->action == DECIDED_SWEEP || //'
plant explain check_nat_model 7 's/w.random = prf_next(&draws);/w.random = 0;/'
plant explain check_nat_model 0 's/why = nat_check_addresses(n, w);/why = NAT_PASS;/'
plant explain check_nat_model 7 's/first->session == 0 ? &first->decision.spec : NULL/NULL/'
plant explain check_nat_icmp '' 's/return w->dir == DIR_IN ? nat_check_inbound_size.*/return NAT_PASS;/'
plant explain check_nat_default '' 's/ || nat_host_listens(n, w, d)//'
# the packet path, beside a decision that is right
plant open check_nat_default '' 's/ || nat_host_listens(n, w, d);/;/'
plant pass check_nat_icmp '' 's/why = w->dir == DIR_IN ? check_size.*/why = NAT_PASS;/'
# a decision that does something
plant decide check_decide '' '/^void nat_decide(/,/^}/s/^\tif (w->dir == DIR_OUT)$/\t((struct nat *)n)->id_key[1]++;\n&/'
plant decide check_decide '' 's/^\treturn decision_goes_on(d, STAGE_LIMITS,/\tif (h) ((struct host *)h)->sessions++;\n&/'

[ $status -ne 0 ] || echo "explain: $planted wrong branches, all found"
exit $status
