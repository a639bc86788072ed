# SPDX-License-Identifier: ISC
"""natlab: what it builds, how it ends, and that its types of NAT are what their names say: by coturn's RFC 5780 client,
which is not ours, and by the hole-punching example of docs/natlab.md."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import textwrap
import time

import pytest

import netlab

HERE = pathlib.Path(__file__).resolve().parent
NATLAB = os.environ.get("NATLAB", "./natlab")
TURN = ("turnserver", "turnutils_natdiscovery")
TYPES = {"full-cone": ("Endpoint Independent", "Endpoint Independent"),
         "restricted-cone": ("Endpoint Independent", "Address Dependent"),
         "port-restricted-cone": ("Endpoint Independent", "Address and Port Dependent"),
         "symmetric": ("Address and Port Dependent", "Address and Port Dependent")}


@pytest.fixture(scope="module", autouse=True)
def possible():
    reason = netlab.why_not()
    if reason is None and not os.access(NATLAB, os.X_OK):
        reason = f"{NATLAB} is not there (set NATLAB)"
    if reason:
        pytest.skip(reason)


def environment_in(directory):
    """natlab is found by its name within the laboratory; a directory to work in."""
    tools = directory / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "natlab").symlink_to(NATLAB)
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "WORK": str(directory)}


@pytest.fixture
def environment(tmp_path):
    return environment_in(tmp_path)


@pytest.fixture
def natlab(environment):
    """natlab(*arguments): runs it to its end."""
    def run(*arguments, check=True, timeout=60, **more):
        done = subprocess.run([NATLAB, *arguments], capture_output=True, text=True, timeout=timeout,
                              env={**environment, **more}, check=False)
        assert not check or done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done
    return run


@pytest.fixture
def script(tmp_path):
    """script(text): a file that sh runs, with what follows common() in it."""
    def write(text):
        path = tmp_path / "script"
        path.write_text("set -e\n" + textwrap.dedent(text))
        return "sh", str(path)
    return write


def processes(marker):
    """The processes that have this environment variable: those of one laboratory, and natlab itself."""
    found = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if marker.encode() in pathlib.Path(f"/proc/{entry}/environ").read_bytes():
                state = pathlib.Path(f"/proc/{entry}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
                if state != "Z":
                    found[int(entry)] = pathlib.Path(f"/proc/{entry}/comm").read_text(encoding="ascii").strip()
    return found


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while not (result := what()):
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.01)
    return result


@pytest.mark.parametrize("command, status", [
    (("sh", "-c", "exit 7"), 7), (("sh", "-c", "kill -KILL $$"), 137), (("sh", "-c", "kill -TERM $$"), 143),
    (("./no-such-command",), 127), (("/etc/hosts",), 126)])
def test_the_exit_status_is_that_of_the_command(natlab, command, status):
    assert natlab("--", *command, check=False).returncode == status


@pytest.mark.parametrize("arguments, says", [
    ((), "COMMAND is missing"), (("--nat", "fullcone", "true"), "did you mean full-cone?"),
    (("--nat", "symmetric,hairpin=on", "true"), "did you mean hairpin=off?"), (("--hosts", "many", "true"), "from 0 to 250"),
    (("shell", "true"), "takes options alone"), (("--nat", "file=", "true"), "needs the name"), (("--bogus", "true"), "Try")])
def test_wrong_usage_is_2(natlab, arguments, says):
    done = natlab(*arguments, check=False)
    assert done.returncode == 2 and says in done.stderr


def test_wrong_options_of_a_shell_are_natlabs(natlab):
    done = natlab("shell", "--bogus", check=False)
    assert done.returncode == 2 and pathlib.Path(done.stderr.split(":")[0]).name == "natlab"


def test_a_caller_that_ignores_sigchld(environment):
    done = subprocess.run(["env", "--ignore-signal=CHLD", NATLAB, "--nat", "full-cone", "--", "sh", "-c", "exit 7"], timeout=60,
                          env=environment, check=False)
    assert done.returncode == 7


def test_what_works_inside_only_is_refused_outside(natlab):
    done = natlab("in", "nat1-host1", "true", check=False)
    assert done.returncode == 3 and "inside a laboratory" in done.stderr


def test_topology_addresses_and_names(natlab, script):
    done = natlab("--nat", "full-cone", "--nat", "symmetric,cgnat", "--hosts", "2", "--server", "-v", *script("""
        natlab address server
        natlab address nat1
        natlab address nat2
        natlab address nat2-cgnat
        natlab address nat2-host2
        natlab in nat1-host2 hostname
        natlab in nat1-host2 ping -qc1 server >&2
        natlab in nat2-host1 ping -qc1 nat1 >&2
        natlab ctl nat1 count
        natlab ctl nat2-cgnat count
        ! natlab in nat1-host1 ping -qc1 -W1 nat2-host1 >&2
    """))
    assert done.stdout.split() == ["198.51.100.10", "198.51.100.20", "203.0.113.1", "100.64.2.2", "203.0.113.2",
                                   "192.168.2.3", "nat1-host2", "1", "1"]
    assert re.search(r"nat2-cgnat +203\.0\.113\.2 +the carrier's NAT", done.stderr)
    assert re.search(r"nat2-host2 +192\.168\.2\.3", done.stderr)


def test_every_cable_carries_before_the_command_starts(natlab):
    """Else the first packet is lost, and ARP's second try is a second later."""
    done = natlab("--nat", "full-cone,cgnat", "--nat", "symmetric", "--hosts", "2", "--server", "--", "sh", "-c",
                  "for node in internet nat1-cgnat nat1 nat2; do natlab in $node bridge -o link; done")
    assert re.findall(r"state (\w+)", done.stdout) == ["forwarding"] * 8


def test_a_shell(natlab, tmp_path):
    shell = tmp_path / "my-shell"
    shell.write_text("#!/bin/sh\nnatlab address nat1-host1\nexit 5\n")
    shell.chmod(0o755)
    done = natlab("shell", "--nat", "full-cone", check=False, SHELL=str(shell))
    assert (done.returncode, done.stdout) == (5, "192.168.1.2\n")


def test_an_unknown_host_is_2_and_the_hosts_are_named(natlab):
    done = natlab("--nat", "full-cone", "--", "natlab", "in", "nat9-host1", "true", check=False)
    assert done.returncode == 2 and "internet nat1 nat1-host1" in done.stderr


def test_a_file_as_nat(natlab, tmp_path):
    good = tmp_path / "good.conf"
    good.write_text('outside = { interface = "out0"; };\ninside = { interfaces = [ "in0" ]; };\n'
                    'translation = { port_selection = "preserve"; };\n')
    done = natlab("--nat", f"file={good}", "--server", "--", "sh", "-c",
                  "natlab in nat1-host1 ping -qc1 server >/dev/null && natlab ctl nat1 count")
    assert done.stdout == "1\n"
    bad = tmp_path / "bad.conf"
    bad.write_text('outside = { interface = "out0"; };\ninside = { interfaces = [ "in0" ]; };\nnonsense = 1;\n')
    done = natlab("--nat", f"file={bad}", "--", "true", check=False)
    assert done.returncode == 2 and f"{bad}:3:" in done.stderr
    good.write_text(good.read_text(encoding="ascii") + 'control = { socket = "/run/elsewhere.sock"; };\n')
    done = natlab("--nat", f"file={good}", "--", "true", check=False)
    assert done.returncode == 2 and "remove control.socket" in done.stderr


def test_a_natd_that_does_not_start_is_3_and_its_words_are_shown(natlab):
    done = natlab("--nat", "full-cone", "--", "true", check=False, NATD="sh")
    assert done.returncode == 3 and "/run/natd.conf" in done.stderr and "nat1: natd did not start" in done.stderr


@pytest.mark.parametrize("hide, says", [
    ("mount -t tmpfs tmpfs /dev/net", "/dev/net/tun"),
    ("echo 0 >/proc/sys/user/max_user_namespaces", "user.max_user_namespaces")])
def test_where_it_cannot_run_it_says_what_to_do(environment, hide, says):
    done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{hide} && exec "$0" "$@"', NATLAB,
                           "--nat", "full-cone", "--", "true"], capture_output=True, text=True, timeout=60, env=environment,
                          check=False)
    assert done.returncode == 3 and says in done.stderr


def test_several_at_once(environment):
    command = [NATLAB, "--nat", "full-cone", "--server", "--", "sh", "-c",
               "read go; natlab in nat1-host1 ping -qc1 server >/dev/null; natlab ctl nat1 count"]
    labs = [subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(3)]
    assert [lab.communicate("go\n", timeout=60)[0] for lab in labs] == ["1\n"] * 3
    assert [lab.returncode for lab in labs] == [0] * 3


def mark(directory):
    """The environment variable NATLAB_TEST of a laboratory's processes: not of one of other tests, whose directory has this name."""
    return f"{os.getpid()}:{directory}:"


def start_a_lab(environment, directory, command):
    """A laboratory whose processes are all marked by their environment; `command` makes the file "ready"."""
    return subprocess.Popen([NATLAB, "--nat", "full-cone", "--nat", "symmetric", "--server",
                             "--pcap", str(directory / "recording"), "--", "sh", "-c", command], cwd=directory, text=True,
                            env={**environment, "NATLAB_TEST": mark(directory), "TMPDIR": str(directory)}, stderr=subprocess.PIPE)


def below(pid):
    """(its way down from natlab, pid, start time) of natlab and of those that it started, as the kernel has them now."""
    table = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{entry}/stat").read_text(encoding="utf-8")
            name, fields = text[text.index("(") + 1:text.rindex(")")], text.rsplit(")", 1)[1].split()
            table[int(entry)] = name, int(fields[1]), fields[0], int(fields[19])
    found = []

    def walk(pid, way):
        found.append(("/".join(way), pid, table[pid][3]))
        for child, (name, parent, state, _) in table.items():
            if parent == pid and state != "Z":
                walk(child, [*way, name])
    walk(pid, ["natlab"])
    return found


def is_there(pid, start):
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return fields[0] not in "ZX" and int(fields[19]) == start
    return False


def devices():
    return re.findall(r"^ *(\S+):", pathlib.Path("/proc/net/dev").read_text(encoding="ascii"), re.M)


# Each kind of process of a laboratory, by its way down from natlab. What natlab says without it: the laboratory goes on then;
# None: it ends with it.
PROCESSES = {"natlab": None, "natlab/natlab": None, "natlab/natlab/natlab": "the recording has ended",
             "natlab/natlab/natd": "natd was killed by signal 9", "natlab/natlab/natd-keeper": "",
             "natlab/natlab/natd-keeper/natd-health": "", "natlab/natlab/sh": None, "natlab/natlab/sh/sleep": ""}


@pytest.fixture(scope="module")
def waiting(possible, tmp_path_factory):
    """A laboratory for each of these, all at once: (natlab, its directory, its processes)."""
    labs = {}
    try:
        for way in PROCESSES:
            directory = tmp_path_factory.mktemp("lab")
            labs[way] = start_a_lab(environment_in(directory), directory, "natlab in server sleep 1000 & : >ready; wait"), directory
        for lab, directory in labs.values():
            wait_for((directory / "ready").exists, 60)
            wait_for(lambda lab=lab: {way for way, _, _ in below(lab.pid)} == set(PROCESSES), 60)
        yield {way: (lab, directory, below(lab.pid)) for way, (lab, directory) in labs.items()}
    finally:
        for lab, _ in labs.values():
            lab.kill()
            lab.communicate()


@pytest.mark.parametrize("way", PROCESSES)
def test_nothing_is_left_behind_when_it_is_killed(waiting, way):
    lab, directory, its = waiting[way]
    before = pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8"), devices()
    os.kill(next(pid for name, pid, _ in its if name == way), signal.SIGKILL)
    if PROCESSES[way] is not None:
        assert not PROCESSES[way] or PROCESSES[way] in lab.stderr.readline()
        assert lab.poll() is None
        lab.kill()
    lab.wait(timeout=30)
    wait_for(lambda: not any(is_there(pid, start) for _, pid, start in its), 30)
    wait_for(lambda: not processes(f"NATLAB_TEST={mark(directory)}"), 30)
    assert (pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8"), devices()) == before
    assert sorted(p.name for p in directory.iterdir()) == ["bin", "ready", "recording"]
    assert [p.name for p in (pathlib.Path(os.environ["NATLAB_SHARE"]) / "lab").iterdir()] == ["README"]


def test_sigterm_is_passed_on_to_the_command(environment, tmp_path):
    lab = start_a_lab(environment, tmp_path, 'trap "exit 9" TERM; : >ready; while :; do sleep 0.1; done')
    wait_for((tmp_path / "ready").exists, 60)
    lab.terminate()
    assert lab.wait(timeout=30) == 9
    lab.stderr.close()
    wait_for(lambda: not processes(f"NATLAB_TEST={mark(tmp_path)}"), 30)


def test_pcap_has_both_sides_of_every_nat(natlab, tmp_path):
    from scapy.layers.inet import ICMP, IP
    from scapy.utils import rdpcap
    path = tmp_path / "lab.pcapng"
    natlab("--nat", "full-cone", "--nat", "symmetric,cgnat", "--server", "--pcap", str(path), "--", "sh", "-c",
           "natlab in nat1-host1 ping -qc1 server && natlab in nat2-host1 ping -qc1 server")
    for name in (b"nat1-in0", b"nat1-out0", b"nat2-in0", b"nat2-out0", b"nat2-cgnat-in0", b"nat2-cgnat-out0"):
        assert name in path.read_bytes()
    asked = [p[IP].src for p in rdpcap(str(path)) if ICMP in p and p[ICMP].type == 8]
    assert sorted(asked) == sorted(["192.168.1.2", "203.0.113.1", "192.168.2.2", "100.64.2.2", "100.64.2.2", "203.0.113.2"])


COTURN = """
set -e
natlab in server turnserver -L 198.51.100.10 -L 198.51.100.20 -n --no-tls --no-dtls --no-cli --log-file=stdout \
    -b "$WORK/turndb" --pidfile "$WORK/pid" >"$WORK/turnserver.log" 2>&1 &
n=0
until [ "$(natlab in server ss -Hlun | grep -c ':347[89] ')" -ge 4 ]; do
    n=$((n + 1)); [ $n -lt 200 ]; sleep 0.05
done
natlab in nat1-host1 turnutils_natdiscovery %s 198.51.100.10
"""
# Sends from one port to the server, which says what it saw; then to itself by that address.
PROBE = r"""
set -e
cat >"$WORK/echo.py" <<'END'
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 7000))
print("ready", flush=True)
while True:
    _, sender = sock.recvfrom(64)
    sock.sendto("{} {}".format(*sender).encode(), sender)
END
cat >"$WORK/probe.py" <<'END'
import socket
def receive():
    try:
        print(sock.recvfrom(64)[0].decode(), end=";")
    except TimeoutError:
        print("nothing", end=";")
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 5555))
sock.settimeout(5)
sock.sendto(b"?", ("198.51.100.10", 7000))
receive()
natctl = __import__("subprocess").run(["natlab", "ctl", "nat1", "mappings"], capture_output=True, text=True)
port = __import__("re").search(r"203.0.113.1:(\d+)", natctl.stdout)
if port:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hairpin", ("203.0.113.1", int(port.group(1))))
    receive()
END
mkfifo "$WORK/ready"
natlab in server python3 "$WORK/echo.py" >"$WORK/ready" &
read ready <"$WORK/ready"
natlab in nat1-host1 python3 "$WORK/probe.py"
natlab in nat1-host1 ping -qc1 server >/dev/null && echo ping
"""


# The example of docs/natlab.md as it stands there.
def example(language):
    page = (HERE / "../../docs/natlab.md").read_text(encoding="utf-8")
    return re.search(rf"^```{language}\n(# punch.*?)^```", page, re.S | re.M).group(1)


DISCOVERED = [*TYPES, "port-restricted-cone,cgnat", "restricted-cone,preserve"]
# What the client is to ask of other presets, and whether it hears of an answer.
HAIRPINNED = "Received a request (maybe a successful hairpinning)"
ASKED = {("full-cone", "-H"): True, ("full-cone,hairpin=off", "-H"): False, ("full-cone,no-udp", "-m"): False}
PROBED = ["full-cone,preserve", "full-cone,hairpin=off", "full-cone,no-udp"]
PAIRS = {("port-restricted-cone", "port-restricted-cone"): True, ("full-cone", "symmetric"): True,
         ("restricted-cone,cgnat", "restricted-cone"): True, ("restricted-cone", "symmetric"): True,
         ("port-restricted-cone", "symmetric"): False, ("symmetric", "symmetric"): False}


@pytest.fixture(scope="module")
def results(possible, tmp_path_factory):
    """The laboratories that mostly wait, all at once: (exit status, stdout and stderr) by the types of their NATs."""
    labs = {}

    def start(nats, text, key=None):
        directory = tmp_path_factory.mktemp("lab")
        (directory / "test.sh").write_text(text)
        (directory / "punch.py").write_text(example("python"))
        wishes = [word for nat in nats for word in ("--nat", nat)]
        labs[key or nats] = subprocess.Popen([NATLAB, *wishes, "--server", "sh", "./test.sh"], cwd=directory, text=True,
                                      env=environment_in(directory), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    if all(map(shutil.which, TURN)):
        for kind in DISCOVERED:
            start((kind,), COTURN % "-m -f")
        for asked in ASKED:
            start(asked[:1], COTURN % asked[1], asked)
    for kind in PROBED:
        start((kind,), PROBE)
    for pair in PAIRS:
        start(pair, example("sh"))
    done = {}
    for nats, lab in labs.items():
        text = lab.communicate(timeout=120)[0]
        done[nats] = lab.returncode, text
    return done


def needs_coturn():
    for tool in TURN:
        if not shutil.which(tool):
            pytest.skip(f"there is no {tool} (coturn)")


@pytest.mark.parametrize("kind", DISCOVERED)
def test_the_type_by_a_client_that_is_not_ours(results, kind):
    needs_coturn()
    status, said = results[kind,]
    mapping, filtering = TYPES[kind.split(",")[0]]
    assert status == 0, said
    assert f"NAT with {mapping} Mapping!" in said
    assert f"NAT with {filtering} Filtering!" in said


@pytest.mark.parametrize("asked", ASKED, ids=" ".join)
def test_hairpin_and_no_udp_by_a_client_that_is_not_ours(results, asked):
    needs_coturn()
    _, said = results[asked]
    answered = HAIRPINNED if asked[1] == "-H" else "RFC 5780 response"
    assert (answered in said) == ASKED[asked], said
    assert ("STUN receive timeout" in said) != ASKED[asked], said
    assert ("RFC 5780 response" in said) == (asked[1] == "-H"), said


def test_preserve_and_hairpin(results):
    assert results["full-cone,preserve",] == (0, "203.0.113.1 5555;hairpin;ping\n")


def test_random_ports_and_hairpin_off(results):
    status, said = results["full-cone,hairpin=off",]
    assert status == 0 and re.fullmatch(r"203\.0\.113\.1 \d+;nothing;ping\n", said), said
    assert " 5555;" not in said


def test_no_udp_lets_ping_pass(results):
    assert results["full-cone,no-udp",] == (0, "nothing;ping\n")


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_the_hole_punching_example(results, pair):
    status, said = results[pair]
    assert (status == 0) == PAIRS[pair], said
    assert ("hello from" in said) == PAIRS[pair]
