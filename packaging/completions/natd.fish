# SPDX-License-Identifier: ISC
# fish completion for natd(8), natd-web(8) and natd-log(8): the options come from the program's own help.

function __natd_options
    set -l words (commandline -opc)
    command $words[1] --help 2>/dev/null | sed -nE 's/^ {2,6}(-.*)/\1/p' | sed -E 's/ {2,}.*//' | grep -oE -- '--?[a-zA-Z][a-z-]*'
end

for program in natd natd-web natd-log
    complete -c $program -f -a '(__natd_options)'
    complete -c $program -s c -l config -r -F -d configuration
end
complete -c natd -l state -r -F -d 'file for the connection table'
for program in natd-web natd-log
    complete -c $program -s s -l socket -r -F -d 'control socket'
end
complete -c natd-web -s l -l listen -x -a '127.0.0.1:9642 [::1]:9642'
