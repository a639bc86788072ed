#!/bin/sh
# SPDX-License-Identifier: ISC
# Shows that check-layering.sh can fail: plants one violation after the other in a tree (or in a
# library) where nothing else is, and expects each to be found, by name.

check=$(dirname "$0")/check-layering.sh
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
status=0

# expect WORDS: the check fails and says WORDS.
expect()
{
	if sh "$check" "$work" "$work/lib.a" >"$work/out" 2>&1; then
		echo "not found: $1" >&2
		status=1
	elif ! grep -qF -- "$1" "$work/out"; then
		echo "found, but \"$1\" was not said:" >&2
		cat "$work/out" >&2
		status=1
	fi
}

fresh()
{
	rm -rf "$work/src"
	mkdir -p "$work/src/core" "$work/src/common" "$work/src/daemon" "$work/src/client" "$work/src/ctl" "$work/src/web"
}

# plant FILE LINE WORDS: with LINE in src/FILE the check says WORDS.
plant()
{
	fresh
	echo "$2" >"$work/src/$1"
	expect "src/$1 $3"
}

# library LINE WORDS: with LINE compiled into the core the check says WORDS.
library()
{
	fresh
	echo "$1" >"$work/planted.c"
	rm -f "$work/lib.a"
	${CC:-cc} -c -O1 -o "$work/planted.o" "$work/planted.c" && ar cr "$work/lib.a" "$work/planted.o" || exit 99
	[ -z "$2" ] || expect "$2"
}

library 'int planted(int x); int planted(int x) { return x; }' ''
if ! sh "$check" "$work" "$work/lib.a" >"$work/out" 2>&1; then
	echo "fails before anything was planted:" >&2
	cat "$work/out" >&2
	exit 1
fi

plant core/planted.c '#include <stdio.h>' 'includes <stdio.h>'
plant core/planted.h '#include "daemon/loop.h"' 'includes "daemon/loop.h"'
plant core/planted.c '#include "../common/ctlproto.h"' 'includes "../common/ctlproto.h"'
plant core/planted.c '#include "unheard-of.h"' 'includes "unheard-of.h"'
# room FILE HEADER WORDS: FILE includes HEADER, which is there.
room()
{
	fresh
	mkdir -p "$work/src/${1%/*}" "$work/src/${2%/*}"
	: >"$work/src/$2"
	echo "#include \"$2\"" >"$work/src/$1"
	expect "$3"
}
room core/packet/planted.c core/table/table.h 'core/packet may include only rooms below it: base'
room core/base/planted.h core/packet/packet.h 'core/base may include only rooms below it:'
room daemon/path/planted.c daemon/natd.h 'daemon/path may include only rooms below it'
room daemon/kernel/planted.c daemon/control/doctor.h 'daemon/kernel may include only rooms below it'
room core/base/planted.c core/attic/attic.h 'src/core/attic has no place'
plant core/planted.c '#include "core/packet/unheard-of.h"' 'includes "core/packet/unheard-of.h"'
plant common/planted.c '# include <time.h>' 'includes <time.h>'
plant common/planted.c '#include "core/nat.h"' 'includes "core/nat.h"'
plant ctl/planted.c '#include "core/nat.h"' 'includes "core/nat.h"'
plant ctl/planted.c '#include "daemon/log.h"' 'includes "daemon/log.h"'
plant client/planted.c '#include "ctl/natctl.h"' 'includes "ctl/natctl.h"'
plant web/planted.c '#include "core/nat/nat.h"' 'includes "core/nat/nat.h"'
plant daemon/planted.c '#include "ctl/json.h"' 'includes "ctl/json.h"'
plant daemon/planted.c '#include <libconfig.h>' 'includes <libconfig.h>'
plant daemon/planted.c '#include <event2/event.h>' 'includes <event2/event.h>'
plant daemon/planted.c '#include <sys/capability.h>' 'includes <sys/capability.h>'
plant daemon/planted.c '#include <systemd/sd-journal.h>' 'includes <systemd/sd-journal.h>'
plant daemon/planted.c '#include <libmnl/libmnl.h>' 'includes <libmnl/libmnl.h>'
plant daemon/planted.c '#include <seccomp.h>' 'includes <seccomp.h>'
plant ctl/planted.c '#include <jansson.h>' 'includes <jansson.h>'

library '#include <time.h>
long planted(void); long planted(void) { return (long)time(0); }' 'uses time()'
library '#include <stdlib.h>
void *planted(int n); void *planted(int n) { return malloc((size_t)n); }' 'uses malloc()'
library 'int planted(void); int planted(void) { static int n; return ++n; }' 'keeps a variable: n'
library 'int planted = 3;' 'keeps a variable: planted'

rm -f "$work/lib.a"
expect 'lib.a: not there'

exit $status
