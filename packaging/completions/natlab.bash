# bash completion for natlab(1)                             -*- shell-script -*-
# SPDX-License-Identifier: ISC

_natlab()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} hosts=''
	local types="full-cone restricted-cone port-restricted-cone symmetric file="

	[[ -z ${NATLAB_LAB:-} ]] || hosts=$(cut -d' ' -f2 "$NATLAB_LAB/hosts" 2>/dev/null)
	case $prev in
	in | address | ctl) mapfile -t COMPREPLY < <(compgen -W "$hosts" -- "$cur") ;;
	-n | --nat)
		case $cur in
		*,*) types=$(printf "${cur%,*},%s " hairpin=off preserve cgnat no-udp) ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$types" -- "$cur")
		;;
	-p | --pcap) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	-H | --hosts) COMPREPLY=() ;;
	*)
		if [[ $cur = -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "--nat --hosts --server --pcap --verbose --help --version --" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "$([[ $COMP_CWORD -gt 1 ]] || echo shell in address ctl)" -A command -- "$cur")
		fi
		;;
	esac
} &&
	complete -F _natlab natlab
