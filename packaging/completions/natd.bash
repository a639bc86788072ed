# bash completion for natd(8), natd-web(8) and natd-log(8)   -*- shell-script -*-
# SPDX-License-Identifier: ISC
#
# The options come from the program's own help.

_natd()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	case $prev in
	-c | --config | -s | --socket | --state)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	-l | --listen)
		mapfile -t COMPREPLY < <(compgen -W "127.0.0.1:9642 [::1]:9642" -- "$cur")
		return
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -nE 's/^ {2,6}(-.*)/\1/p' |
		sed -E 's/ {2,}.*//' | grep -oE -- '--?[a-zA-Z][a-z-]*')" -- "$cur")
} &&
	complete -F _natd natd natd-web natd-log
