# SPDX-License-Identifier: ISC
# The macros of natd's configure.ac.

# NATD_COMPILE_FLAG(FLAG, VARIABLE): adds FLAG to VARIABLE when the compiler takes it.
AC_DEFUN([NATD_COMPILE_FLAG], [
  AS_VAR_PUSHDEF([cachevar], [natd_cv_cflag_$1])
  AC_CACHE_CHECK([whether $CC takes $1], [cachevar], [
    natd_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $1"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [AS_VAR_SET([cachevar], [yes])], [AS_VAR_SET([cachevar], [no])])
    CFLAGS=$natd_saved_CFLAGS])
  AS_VAR_IF([cachevar], [yes], [$2="$$2 $1"])
  AS_VAR_POPDEF([cachevar])
])

# NATD_LINK_FLAG(FLAG, VARIABLE): adds FLAG to VARIABLE when the linker takes it.
AC_DEFUN([NATD_LINK_FLAG], [
  AS_VAR_PUSHDEF([cachevar], [natd_cv_ldflag_$1])
  AC_CACHE_CHECK([whether the linker takes $1], [cachevar], [
    natd_saved_LDFLAGS=$LDFLAGS
    LDFLAGS="$LDFLAGS -Werror $1"
    AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AS_VAR_SET([cachevar], [yes])], [AS_VAR_SET([cachevar], [no])])
    LDFLAGS=$natd_saved_LDFLAGS])
  AS_VAR_IF([cachevar], [yes], [$2="$$2 $1"])
  AS_VAR_POPDEF([cachevar])
])

# NATD_LTO(COMPILE, LINK, DO_NOT_LINK): flags for objects that can be linked either way, for a link with optimisation, and for
# one without; nothing when the compiler cannot do that. The limit of inlining is that of -O3: calls cost more than anything
# else where a packet passes many short functions.
AC_DEFUN([NATD_LTO], [
  AC_MSG_CHECKING([whether $CC optimises at link time])
  natd_saved_CFLAGS=$CFLAGS natd_saved_LDFLAGS=$LDFLAGS
  natd_lto_flags="-flto=auto -finline-limit=200"
  CFLAGS="$CFLAGS $natd_lto_flags -ffat-lto-objects"
  AC_LINK_IFELSE([AC_LANG_PROGRAM()], [
    LDFLAGS="$LDFLAGS -fno-lto"
    AC_LINK_IFELSE([AC_LANG_PROGRAM()], [natd_lto=yes], [natd_lto=no])], [natd_lto=no])
  CFLAGS=$natd_saved_CFLAGS LDFLAGS=$natd_saved_LDFLAGS
  AC_MSG_RESULT([$natd_lto])
  AS_IF([test $natd_lto = yes], [
    $1="$natd_lto_flags -ffat-lto-objects"
    $2="$natd_lto_flags"
    $3="-fno-lto"])
])

# NATD_OPTIONAL(VARIABLE, MODULE, PURPOSE): --with/--without MODULE; yes, no, or as found (default).
# Defines HAVE_<VARIABLE> and the conditional of that name; $with_<module> is yes or no afterwards.
AC_DEFUN([NATD_OPTIONAL], [
  AC_ARG_WITH([$2], [AS_HELP_STRING([--without-$2], [leave out $3])],
    [], [AS_VAR_SET([AS_TR_SH([with_$2])], [auto])])
  AS_VAR_IF([AS_TR_SH([with_$2])], [no], [], [
    PKG_CHECK_MODULES([$1], [$2], [AS_VAR_SET([AS_TR_SH([with_$2])], [yes])], [
      AS_VAR_IF([AS_TR_SH([with_$2])], [yes], [AC_MSG_ERROR([--with-$2 was asked for, but $2 was not found])])
      AS_VAR_SET([AS_TR_SH([with_$2])], [no])])])
  AS_VAR_IF([AS_TR_SH([with_$2])], [yes], [AC_DEFINE([HAVE_$1], [1], [Define to 1 to build $3.])])
  AM_CONDITIONAL([HAVE_$1], [test "x$AS_TR_SH([with_$2])" = xyes])
])

# NATD_FORTIFY(VARIABLE): adds the strongest _FORTIFY_SOURCE that compiles without a warning; it
# needs optimisation, which is the user's choice (CFLAGS).
AC_DEFUN([NATD_FORTIFY], [
  for natd_level in 3 2; do
    AC_MSG_CHECKING([for _FORTIFY_SOURCE=$natd_level])
    natd_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$natd_level"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]])], [natd_fortify=yes], [natd_fortify=no])
    CFLAGS=$natd_saved_CFLAGS
    AC_MSG_RESULT([$natd_fortify])
    AS_IF([test $natd_fortify = yes], [$1="$$1 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$natd_level"; break])
  done
])

# NATD_DIRECTORY(NAME, WHAT, DEFAULT): --with-NAME=DIR, or "no" to install nothing there.
AC_DEFUN([NATD_DIRECTORY], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [where $2 go, or "no"])], [], [with_$1=yes])
  AS_CASE([$with_$1], [yes], [$1=$3], [no], [$1=], [$1=$with_$1])
  AC_SUBST([$1])
])

# NATD_BPF(VARIABLE): looks for what the tc programs need. VARIABLE: the first thing that is missing, or empty. Sets
# BPF_CFLAGS, with the kernel's headers of this machine.
AC_DEFUN([NATD_BPF], [
  $1=
  PKG_CHECK_MODULES([LIBBPF], [libbpf >= 0.8], [], [$1="libbpf 0.8 (libbpf-dev)"])
  AC_PATH_PROGS([BPF_CC], [clang])
  AC_PATH_PROGS([BPFTOOL], [bpftool], [], [$PATH:/usr/sbin:/sbin])
  natd_multiarch=`$CC -print-multiarch 2>/dev/null`
  BPF_CFLAGS="-target bpf -mcpu=v3 -ffreestanding -g -O2 -Wall -Wextra -Werror${natd_multiarch:+ -idirafter /usr/include/$natd_multiarch}"
  AC_SUBST([BPF_CFLAGS])
  AS_IF([test -n "$$1"], [],
    [test -z "$BPF_CC"], [$1="clang"],
    [test -z "$BPFTOOL"], [$1="bpftool"],
    [AC_MSG_CHECKING([whether $BPF_CC compiles for BPF])
     cat >conftest.bpf.c <<'_NATD_BPF'
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("tc") int conftest(struct __sk_buff *skb)
{
	return skb->ifindex == 0;
}
_NATD_BPF
     AS_IF([$BPF_CC $BPF_CFLAGS $LIBBPF_CFLAGS -c conftest.bpf.c -o conftest.bpf.o >&AS_MESSAGE_LOG_FD 2>&1 &&
            $BPFTOOL gen object conftest.bpf2.o conftest.bpf.o >&AS_MESSAGE_LOG_FD 2>&1],
       [AC_MSG_RESULT([yes])],
       [AC_MSG_RESULT([no])
        $1="clang, bpftool and kernel headers that make a tc program (see config.log)"])
     rm -f conftest.bpf.c conftest.bpf.o conftest.bpf2.o])
])
