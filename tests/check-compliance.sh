#!/bin/sh
# SPDX-License-Identifier: ISC
# No requirement of docs/requirements.tsv is without a test that carries its id: see compliance.py.

python=${PYTHON:-python3}

if ! "$python" -c 'import sys' 2>/dev/null; then
	echo "compliance: no Python 3 here"
	exit 77
fi
exec "$python" "${srcdir:-.}/tests/compliance.py" --check --out /dev/null
