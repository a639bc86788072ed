#compdef natlab
# SPDX-License-Identifier: ISC
# zsh completion for natlab(1); hosts within a laboratory come from that laboratory.

local -a hosts types
local have

[[ -z $NATLAB_LAB ]] || hosts=(${(f)"$(cut -d' ' -f2 $NATLAB_LAB/hosts 2>/dev/null)"})
case ${words[CURRENT-1]} in
in|address|ctl) compadd -a hosts ;;
-n|--nat)
	types=(full-cone restricted-cone port-restricted-cone symmetric file=)
	if [[ ${words[CURRENT]} == *,* ]]; then
		have=${words[CURRENT]%,*}
		types=($have,{hairpin=off,preserve,cgnat,no-udp})
	fi
	compadd -a types
	;;
-p|--pcap) _files ;;
-H|--hosts) ;;
*)
	if [[ ${words[CURRENT]} == -* ]]; then
		compadd -- --nat --hosts --server --pcap --verbose --help --version --
	else
		(( CURRENT > 2 )) || compadd shell in address ctl
		_command_names -e
	fi
	;;
esac
