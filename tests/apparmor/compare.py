#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Holds an AppArmor profile against what a program did: the system calls that strace saw, and the capabilities that the
kernel was asked for (its tracepoint cap_capable).

  compare.py PROGRAM PROFILE TRACE-DIRECTORY CAPABILITIES

Files of the tests' own directories count as those of the package: what is read there as the configuration, what is made
there as run-time state or, by natd-log, as the log. Prints what the profile does not allow, and what it allows that was never used; exit status 1 when
something is missing.
"""
import os
import re
import subprocess
import sys

FEATURES = "/etc/apparmor.d/abi/3.0"
# Asked for in passing, and done without: CAP_SYS_ADMIN by memory accounting at each mmap(2) of a root that still has it,
# CAP_SYS_MODULE where a device is asked for that does not exist, to load a module of its name.
IN_PASSING = {"sys_admin", "sys_module"}
CAPABILITIES = """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot
    sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog
    wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore""".split()


class Profile:
    """A profile, with its includes: file rules as (pattern, permissions, text), capabilities, network rules."""

    def __init__(self, path):
        text = subprocess.run(["apparmor_parser", "-p", "-M", FEATURES, path], capture_output=True, text=True, check=True).stdout
        self.variables, self.files, self.capabilities, self.networks, self.used = {}, [], set(), set(), set()
        for line in text.splitlines():
            self._line(line.split("#")[0].strip())

    def _line(self, line):
        if defined := re.match(r"(@\{\w+\})\s*\+?=\s*(.*)", line):
            self.variables.setdefault(defined[1], []).extend(defined[2].replace('"', "").split())
        elif rule := re.match(r"(?:owner\s+)?([/@]\S*)\s+([a-zA-Z]+)\s*,$", line):
            self.files.append((re.compile(self._pattern(rule[1])), rule[2], rule[1]))
        elif rule := re.match(r"capability\s+([\w\s]+),$", line):
            self.capabilities.update(rule[1].split())
        elif rule := re.match(r"network\s+([\w\s]+),$", line):
            self.networks.add(tuple(rule[1].split()))

    def _pattern(self, glob):
        out, depth, i = "", 0, 0
        while i < len(glob):
            variable = re.match(r"@\{\w+\}", glob[i:])
            if variable:
                out += "(?:" + "|".join(self._pattern(v.rstrip("/")) for v in self.variables.get(variable[0], ["@"])) + ")"
                i += len(variable[0])
                continue
            c = glob[i]
            if glob.startswith("**", i):
                out, i = out + ".*", i + 1
            elif c == "*":
                out += "[^/]*"
            elif c == "?":
                out += "[^/]"
            elif c == "[":
                end = glob.index("]", i)
                out, i = out + glob[i:end + 1], end
            elif c == "{":
                out, depth = out + "(?:", depth + 1
            elif c == "}":
                out, depth = out + ")", depth - 1
            elif c == "," and depth:
                out += "|"
            else:
                out += re.escape(c)
            i += 1
        return out.replace("//", "/")

    def missing(self, path, wanted):
        """Of the permissions wanted, those that no rule gives."""
        for pattern, permissions, text in self.files:
            if pattern.fullmatch(path) and set(permissions) & set(wanted):
                self.used.add(text)
                wanted = "".join(p for p in wanted if p not in permissions)
        return wanted


CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
WRITES = ("unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "chmod", "fchmodat", "chown",
          "fchownat", "lchown", "truncate", "mknod", "mknodat", "symlink", "link", "linkat")


class Seen:
    """What the traces say: {(path, permission)}, {(family, kind)}."""

    def __init__(self, program, directory, temporary):
        self.files, self.networks, self.directories, self.program, self.temporary = {}, {}, set(), program, temporary
        for name in sorted(os.listdir(directory)):
            with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as trace:
                for line in trace:
                    if call := CALL.match(line):
                        self._call(call[1], call[2], int(call[3]), line)

    def _file(self, path, permissions, line):
        path = self.placed(path, permissions)
        if path:
            self.files.setdefault((path, permissions), line)

    def placed(self, path, permissions):
        """Where the installed program would find this file; None for what is no file."""
        if not path.startswith("/"):
            return None
        path = os.path.normpath(path.replace("\\0", ""))
        if re.match(r"/proc/(self|thread-self|\d+)/fd/", path):
            return None
        path = re.sub(r"^/proc/(self|thread-self|net(?=/))", lambda m: "/proc/1234" + ("/net" if m[1] == "net" else ""), path)
        path = re.sub(r"^/proc/\d+/", "/proc/1234/", path)
        if "/share/natlab/lab/" in path:
            return "/usr/share/natd/natlab/lab/" + path.split("/share/natlab/lab/")[1]
        if any(path.startswith(t) for t in self.temporary):
            base = os.path.basename(path)
            if base == "natd-bpf-load":
                return f"/usr/libexec/natd/{base}"
            if base == self.program:
                return f"/usr/sbin/{base}"
            if set(permissions) <= {"r", "m"}:
                return f"/etc/natd/{base}"
            return f"/var/log/natd/{base}" if self.program == "natd-log" and not base.endswith(".sock") else f"/run/natd/{base}"
        if path.startswith(("/lib/", "/usr/")):
            path = os.path.realpath(path)
        return path

    def _call(self, call, arguments, result, line):
        strings = STRING.findall(arguments)
        if call == "socket" and result >= 0:
            family, kind = arguments.split(", ")[:2]
            self.networks.setdefault((family[3:].lower(), kind.split("|")[0][5:].lower()), line)
        elif result < 0 and "EACCES" not in line and "EPERM" not in line and "EINPROGRESS" not in line:
            return
        elif call in ("open", "openat", "openat2", "creat") and strings:
            write = re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", arguments)
            read = "O_WRONLY" not in arguments
            if "O_PATH" not in arguments:
                self._file(strings[0], ("r" if read else "") + ("w" if write else ""), line)
        elif call in WRITES:
            for path in strings:
                self._file(path, "w", line)
                if call in ("mkdir", "mkdirat", "rmdir"):
                    self.directories.add(self.placed(path, "w"))
        elif call in ("bind", "connect") and "sun_path=" in arguments and "sun_path=@" not in arguments:
            self._file(strings[0], "w", line)
        elif call == "execve" and strings and "strace" not in line:
            self._file(strings[0], "r" if os.path.basename(strings[0]) == self.program else "x", line)


def capabilities_seen(path):
    """{name: whether it was ever granted}"""
    seen = {}
    with open(path, encoding="utf-8", errors="replace") as trace:
        for line in trace:
            if asked := re.search(r"\bcap (\d+), ret (-?\d+)", line):
                name = CAPABILITIES[int(asked[1])]
                seen[name] = seen.get(name, False) or asked[2] == "0"
    return seen


def main():
    program, path, traces, capabilities = sys.argv[1:5]
    temporary = tuple(os.environ.get("TEMPORARY", "/run/pytest /tmp").split())
    profile, seen, asked = Profile(path), Seen(program, traces, temporary), capabilities_seen(capabilities)
    lacks = []
    for (name, wanted), line in sorted(seen.files.items()):
        if left := profile.missing(name + "/" * (name in seen.directories and wanted == "w"), wanted):
            lacks.append(f"{name} {left}: {line.strip()[:160]}")
    for family, line in sorted(seen.networks.items()):
        if not {family, family[:1]} & profile.networks and () not in profile.networks:
            lacks.append(f"network {' '.join(family)}: {line.strip()[:160]}")
    granted = {name for name, got in asked.items() if got}
    for name in sorted(granted - profile.capabilities - IN_PASSING):
        lacks.append(f"capability {name}")
    print(f"{program}: {len(seen.files)} files and {len(seen.networks)} kinds of sockets in {len(os.listdir(traces))} traces; "
          f"capabilities used: {' '.join(sorted(granted)) or 'none'}; refused by the kernel itself: "
          f"{' '.join(sorted(set(asked) - granted)) or 'none'}")
    for text in lacks:
        print(f"  NOT ALLOWED: {text}")
    own = [text for _, _, text in Profile(path).files]
    with open(path, encoding="utf-8") as source:
        words = source.read()
    unused = [text for text in own if text not in profile.used and text in words]
    print(f"  allowed and never used here: {' '.join(unused) or 'nothing'}; "
          f"capabilities: {' '.join(sorted(profile.capabilities - granted)) or 'none'}")
    return 1 if lacks or not seen.files else 0


if __name__ == "__main__":
    sys.exit(main())
