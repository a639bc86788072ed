#!/bin/sh
# SPDX-License-Identifier: ISC
# The arrows of docs/architecture.md, proved: which directory includes which, which one file may use
# each outside library, and that the core calls nothing and keeps nothing.
#
#   check-layering.sh [SOURCE-TREE [libnatcore.a]]
#
# tests/check-layering-fails.sh shows that each of these checks can fail.

root=${1:-${srcdir:-.}}
library=${2:-}
status=0

bad()
{
	echo "layering: $*" >&2
	status=1
}

# Every include of the tree: "file <header>" or "file "header"", one a line.
all=$(grep -rEo --include='*.[ch]' '^[[:blank:]]*#[[:blank:]]*include[[:blank:]]*["<][^">]*[">]' "$root/src" |
	sed 's/:[^"<]*/ /' | sort)

# includes DIRECTORY: those of src/DIRECTORY.
includes()
{
	printf '%s\n' "$all" | grep "^$root/src/$1/"
}

# check_own DIRECTORY ALLOWED...: quoted includes name a header of the directory itself or of an allowed one.
check_own()
{
	layer=$1
	shift
	includes "$layer" | grep '"$' | tr -d '"' | while read -r file header; do
		case $header in
		*/*) directory=${header%%/*} ;;
		*) directory=$layer ;;
		esac
		case " $layer $* " in
		*" $directory "*) [ "$directory" = "$layer" ] || test -f "$root/src/$header" && continue ;;
		esac
		echo "$file includes \"$header\": src/$layer may include only its own headers${*:+ and those of: $*}"
	done
}

# check_rooms LAYER ROOM...: the rooms of src/LAYER from the ground up. A header of the layer is named by its room, or bare
# within its own room; a room includes itself and the rooms before it in the list. Files beside the rooms stand on all of
# them, and no room includes those.
check_rooms()
{
	layer=$1
	shift
	includes "$layer" | grep '"$' | tr -d '"' | while read -r file header; do
		path=${file#"$root/src/$layer/"}
		case $path in
		*/*) room=${path%%/*} ;;
		*) room= ;;
		esac
		case $header in
		"$layer"/*/*) target=${header#"$layer/"} && target=${target%%/*} ;;
		"$layer"/*) target= ;;
		*/*) continue ;;
		*) target=$room ;;
		esac
		if ! test -f "$root/src/$layer/$target${target:+/}${header##*/}"; then
			echo "$file includes \"$header\": there is no such header"
			continue
		fi
		if [ -z "$room" ] || [ "$target" = "$room" ]; then
			continue
		fi
		below=' '
		for each in "$@"; do
			[ "$each" != "$room" ] || break
			below="$below$each "
		done
		case $below in
		*" ${target:-/} "*) ;;
		*) echo "$file includes \"$header\": src/$layer/$room may include only rooms below it:$below" ;;
		esac
	done
	for path in "$root/src/$layer"/*/; do
		[ -d "$path" ] || continue
		room=${path%/} && room=${room##*/}
		case " $* " in
		*" $room "*) ;;
		*) echo "src/$layer/$room has no place in the order of rooms" ;;
		esac
	done
}

# check_pure DIRECTORY HEADER...: system headers, from a short list.
check_pure()
{
	layer=$1
	shift
	includes "$layer" | grep '>$' | tr -d '<>' | while read -r file header; do
		case " $* " in
		*" $header "*) ;;
		*) echo "$file includes <$header>: src/$layer is pure" ;;
		esac
	done
}

# check_library FILES PATTERN: headers matching PATTERN are included by those src/FILES (an extended regular expression) alone.
check_library()
{
	printf '%s\n' "$all" | grep "<$2" | grep -Ev "^$root/src/($1) " | while read -r file header; do
		echo "$file includes $header: only src/$1 may"
	done
}

report()
{
	while read -r line; do
		echo "layering: $line" >&2
	done
}

pure="assert.h inttypes.h limits.h stdbool.h stddef.h stdint.h string.h"
found=$(
	check_own core
	check_own common
	check_own daemon core common bpf
	check_own bpf core
	check_own client common
	# what a configuration file alone answers, the client answers in one file
	check_own ctl common client | grep -v '/src/ctl/offline\.c includes "daemon/config/config\.h"'
	check_own beside common client daemon
	check_own web common client daemon beside
	check_own log common client daemon beside
	check_own natlab common
	check_rooms core base packet policy table tcp fragment nat
	check_rooms daemon base config health steering kernel setup offload routing path persist sandbox control
	check_rooms common
	check_rooms client
	check_rooms beside
	check_rooms web page
	check_rooms log
	check_rooms ctl
	check_rooms natlab
	# stdlib.h is for calloc and free; that nothing else of it is used shows in the symbols below.
	# emmintrin.h is the compiler's own (SSE2), no library's.
	# shellcheck disable=SC2086
	check_pure core $pure stdlib.h emmintrin.h
	# shellcheck disable=SC2086
	check_pure common $pure strings.h
	check_library daemon/config/config.c 'libconfig\.h'
	check_library 'daemon/base/loop.c|client/(link|query).c|beside/beside.c|web/[a-z]+.c|log/(follow[a-z_]*\.[ch]|main\.c)' 'event2\{0,1\}[./]'
	check_library daemon/sandbox/privs.c 'sys/capability\.h'
	check_library daemon/persist/sdbus.c 'systemd/'
	check_library daemon/kernel/netlink.c 'libmnl/'
	check_library bpf/load.c 'bpf/libbpf'
	check_library 'daemon/sandbox/seccomp.c|client/calls.c' 'seccomp\.h'
	check_library ctl/gzsource.c 'zlib\.h'
	check_library log/outlet_ipfix.c 'fixbuf/'
	check_library client/json_private.h 'jansson\.h'
	check_library ctl/sheet.c 'libsmartcols'
	check_library ctl/top_screen.c 'curses\.h'
)
if [ -n "$found" ]; then
	echo "$found" | report
	status=1
fi

# What the core leaves undefined: the mem functions (bcmp is what clang makes of memcmp), calloc and free, and what compilers, sanitizers
# and coverage add by themselves.
if [ -z "$library" ]; then
	for library in ./.libs/libnatcore.a ./libnatcore.a; do
		[ -f "$library" ] && break
	done
fi
allowed='mem(cpy|move|set|cmp|chr)|bcmp|calloc|free|__mem(cpy|move|set)_chk'
allowed="$allowed|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__assert_fail|abort"
allowed="$allowed|__(asan|ubsan|sanitizer|gcov|llvm_profile|llvm_gcov|start___sanc|stop___sanc|start___sanitizer|stop___sanitizer)_?.*"
allowed="$allowed|__(cpu_model|cpu_indicator_init|popcountdi2|udivti3|umodti3)|llvm_gcda_.*|llvm_gcov_init"
if ! nm "$library" >/dev/null 2>&1; then
	bad "$library: not there, or not an archive"
else
	defined=$(nm --defined-only "$library" | awk 'NF == 3 { print $3 }' | sort -u)
	undefined=$(nm --undefined-only "$library" | awk 'NF == 2 { print $2 }' | sort -u)
	for symbol in $(printf '%s\n' "$undefined" | grep -Evx "$allowed"); do
		printf '%s\n' "$defined" | grep -qx "$symbol" || bad "the core uses $symbol(), which is not on its list"
	done
	variables=$(objdump -t "$library" | awk '
		NF >= 5 && $(NF - 2) ~ /^\.t?(data|bss)(\.|$)/ && $(NF - 2) !~ /^\.data\.rel\.ro/ &&
		$NF !~ /^\./ && $NF !~ /^(__gcov|__prof|__covrec|__llvm|llvm|__asan|__ubsan|___asan|__odr_asan|__sanc|asan\.)/ { print $NF }')
	for variable in $variables; do
		bad "the core keeps a variable: $variable"
	done
fi

[ $status -ne 0 ] || echo "layering: as drawn"
exit $status
