# SPDX-License-Identifier: ISC
# fish completion for natlab(1); hosts within a laboratory come from that laboratory.

function __natlab_hosts
    test -n "$NATLAB_LAB"; and cut -d' ' -f2 $NATLAB_LAB/hosts 2>/dev/null
end

function __natlab_types
    set -l word (commandline -ct)
    if string match -q '*,*' -- $word
        set -l have (string replace -r ',[^,]*$' '' -- $word)
        printf "$have,%s\n" hairpin=off preserve cgnat no-udp
    else
        printf '%s\n' full-cone restricted-cone port-restricted-cone symmetric file=
    end
end

complete -c natlab -n '__fish_use_subcommand' -a 'shell in address ctl'
complete -c natlab -n '__fish_seen_subcommand_from in address ctl' -x -a '(__natlab_hosts)'
complete -c natlab -s n -l nat -x -a '(__natlab_types)'
complete -c natlab -s H -l hosts -x -d 'hosts behind each NAT'
complete -c natlab -s s -l server -d 'a host on the internet'
complete -c natlab -s p -l pcap -r -F -d 'record both sides of every NAT'
complete -c natlab -s v -l verbose -d 'print topology and addresses'
complete -c natlab -s h -l help -d help
complete -c natlab -s V -l version -d 'print the version'
