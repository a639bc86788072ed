#!/bin/bash
# SPDX-License-Identifier: ISC
# Shows that every check of lint.sh can fail: a tree with one fault for each must fail each.

set -u
lint=$(realpath "$(dirname "$0")")/lint.sh
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
status=0

mkdir -p "$work/src/core" "$work/src/common" "$work/src/daemon" "$work/src/client" "$work/src/ctl" "$work/src/web" "$work/tests/unit" "$work/man" "$work/.ci"
cp "$(dirname "$lint")/check-layering.sh" "$work/tests"
cp "$(dirname "$lint")/../.clang-format" "$(dirname "$lint")/../.clang-tidy" "$work"
cd "$work" || exit 99

echo 'int  planted( void ) ;' >src/core/format.h
echo 'struct planted { uint32_t unknown; };' >src/core/headers.h
echo '#include "ctl/nothing.h"' >src/core/layering.h
printf 'cat $%d\n' 1 >tests/shell.sh
printf '.Dd Today\n.Dt NATD 8\n.Os\n.Sh NAME\n.Xyz\n' >man/natd.8.in
echo 'def planted(:' >tests/planted.py
printf 'int planted(void);\nint planted(void)\n{\n\tint a[2];\n\n\ta[2] = 0;\n\treturn a[2];\n}\n' >src/daemon/cppcheck.c
printf 'int planted(int a, int b);\nint planted(int a, int b)\n{\n\treturn a - b == a - b;\n}\n' >src/ctl/tidy.c

for check in format headers layering shell man python cppcheck tidy; do
	out=$("$lint" -s "$work" "$check" 2>&1)
	case $? in
	0) [[ $out == *skipped:* ]] || { echo "lint $check found nothing"; status=1; } ;;
	*) [[ $out == *"lint: $check failed"* ]] || { echo "lint $check: $out"; status=1; } ;;
	esac
done
exit $status
