#compdef natd natd-web natd-log
# SPDX-License-Identifier: ISC
# zsh completion for natd(8), natd-web(8) and natd-log(8): the options come from the program's own help.

local -a options

case ${words[CURRENT-1]} in
-c|--config|-s|--socket|--state) _files ;;
-l|--listen) compadd -- 127.0.0.1:9642 '[::1]:9642' ;;
*)
	options=(${(f)"$(${words[1]} --help 2>/dev/null | sed -nE 's/^ {2,6}(-.*)/\1/p' | sed -E 's/ {2,}.*//' |
		grep -oE -- '--?[a-zA-Z][a-z-]*')"})
	compadd -a -- options
	;;
esac
