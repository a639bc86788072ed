#!/bin/bash
# SPDX-License-Identifier: ISC
# Completion of natctl and natlab in bash, with the commands and options of the natctl that was built and a stand-in for
# the natd that runs; that zsh and fish can read theirs, where they are installed.

set -u
completions=${srcdir:-.}/packaging/completions
real=$(realpath "${NATCTL:-./natctl}")
status=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cat >"$work/natctl" <<STUB
#!/bin/sh
case \$1 in
forwards) echo "web       tcp 203.0.113.1:80"; echo "game      udp 203.0.113.1:27015" ;;
mappings) echo "tcp 10.8.0.2:4000 203.0.113.1:60001" ;;
*) exec "$real" "\$@" ;;
esac
STUB
chmod +x "$work/natctl"
PATH=$work:$PATH
mkdir "$work/lab" && printf '198.51.100.10 server\n192.168.1.2 nat1-host1\n' >"$work/lab/hosts"
# shellcheck source=/dev/null
. "$completions/natctl.bash"
# shellcheck source=/dev/null
. "$completions/natlab.bash"

# offers PROGRAM WORD... -- EXPECTED...: the last WORD is the one to complete; all EXPECTED are offered.
offers()
{
	local function=_$1 wanted
	COMP_WORDS=()
	while [ "$1" != -- ]; do
		COMP_WORDS+=("$1")
		shift
	done
	shift
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMPREPLY=()
	$function
	for wanted in "$@"; do
		case " ${COMPREPLY[*]} " in
		*" $wanted "*) ;;
		*)
			echo "completions: \"${COMP_WORDS[*]}\" does not offer $wanted, but: ${COMPREPLY[*]}"
			status=1
			;;
		esac
	done
}

offers natctl "" -- status list monitor -L reload --json
offers natctl mon -- monitor
offers natctl list "" -- -p --orig-src --state --forward --json
offers natctl -s /tmp/socket list --state "" -- ESTABLISHED TIME_WAIT
offers natctl list --forward "" -- web game
offers natctl list -s "" -- 10.8.0.2
offers natctl help "" -- monitor
offers natlab "" -- shell in
offers natlab --nat "" -- full-cone symmetric
offers natlab --nat full-cone,cgnat,no -- full-cone,cgnat,no-udp
NATLAB_LAB=$work/lab offers natlab in "" -- server nat1-host1

if command -v zsh >/dev/null && ! zsh -n "$completions/natctl.zsh"; then
	status=1
fi
if command -v fish >/dev/null && ! HOME=$work fish -n "$completions/natctl.fish"; then
	status=1
fi
exit $status
