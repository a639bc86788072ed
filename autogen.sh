#!/bin/sh
# SPDX-License-Identifier: ISC
# Makes configure and Makefile.in. Needs autoconf, automake, libtool and pkg-config.
cd "$(dirname "$0")" || exit 1
mkdir -p build-aux
rm -rf autom4te.cache # it would keep the version of an earlier commit
exec autoreconf --install --warnings=all,no-portability "$@"
