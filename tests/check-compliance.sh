#!/bin/sh
# SPDX-License-Identifier: ISC
# Each requirement of docs/requirements.tsv has a test that carries its id, and the code that it names exists: see
# compliance.py.

python=${PYTHON:-python3}

if ! "$python" -c 'import sys' 2>/dev/null; then
	echo "compliance: no Python 3 here"
	exit 77
fi
exec "$python" "${srcdir:-.}/tests/compliance.py" --check --out /dev/null
