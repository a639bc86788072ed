#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The tests of a living host's faults (A: packets in transit, B: ports, C: the host around) can fail: each protection is taken out of a
copy of the source in turn, and the tests named for the fault must find it.

    mutants.py [--out FILE] [--work DIRECTORY [--again]] [FAULT ...]        FAULT: A1, B11, or one cut of it: B11b, ...; as root, a quarter of an hour

A copy of the source is built once. Before, all of the tests pass on it; then each protection is cut, natd is linked again, and its tests
are run until one fails. --again: DIRECTORY is an earlier run's, whose copy is built and passed. Exit status 1: a cut that no test saw, or a test that fails without one.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
PROGRAMS = ("natd", "natctl", "natd-bpf-load", "tests/faults/libfault.so")


class Mutant:
    """One protection, the edits that cut it (file below src, text, text), and tests that see it: FILE::NAME of the integration tests,
    or "unit PROGRAM"."""

    def __init__(self, fault, text, edits, *tests):
        self.fault, self.text, self.edits, self.tests = fault, text, edits, tests

    @property
    def name(self):
        """A4, A4b, A4c: the cuts of a fault."""
        place = [m for m in MUTANTS if m.fault == self.fault].index(self)
        return self.fault + ("" if place == 0 else chr(ord("a") + place))

    @property
    def is_bpf(self):
        return any(file == BPF for file, _, _ in self.edits)

    @property
    def unit(self):
        return [test.split()[1] for test in self.tests if test.startswith("unit ")]

    @property
    def integration(self):
        return [test for test in self.tests if not test.startswith("unit ")]


RAW, TRANSMIT, WAYS = "daemon/path/rawsock.c", "daemon/path/transmit.c", "daemon/path/ways.c"
PLAN, SETTINGS, ROUTING = "daemon/routing/routing_plan.c", "daemon/routing/routing_settings.c", "daemon/routing/routing.c"
DOCTOR, HOST, FIREWALL = "daemon/control/doctor.c", "daemon/control/doctor_host.c", "daemon/control/doctor_firewall.c"
BPF = "bpf/steer.bpf.c"

MUTANTS = [
    Mutant("A1", "packets carry no mark by which the kernel's errors about them come to natd",
           [(RAW, "return setsockopt(r->fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;", "return r && mark ? 0 : -1;")],
           "test_transit.py::test_dead_inside_host_is_told_outside_by_natd_address",
           "test_steering.py::test_a1_no_error_of_the_kernel_shows_an_inside_address"),
    Mutant("A2", "the raw socket heeds the host's path MTU cache",
           [(RAW, "no_path_mtu = IP_PMTUDISC_INTERFACE", "no_path_mtu = IP_PMTUDISC_WANT")],
           "test_transit.py::test_forged_path_mtu_of_the_host_does_not_count"),
    Mutant("A3", "a packet above the MTU of its route is sent on",
           [(TRANSMIT, "if (way->mtu != 0 && is_too_big(t, p, way->mtu))", "if (way->mtu == 1 && is_too_big(t, p, way->mtu))")],
           "test_transit.py::test_route_mtu_is_told_to_the_inside_host"),
    Mutant("A3", "the MSS is not clamped to the MTU of the route",
           [(TRANSMIT, "\tif (mtu != 0)\n\t\tclamp_mss(p, mtu);", "\tif (mtu == 1)\n\t\tclamp_mss(p, mtu);")],
           "test_transit.py::test_upload_over_a_smaller_route"),
    Mutant("A4", "a packet without a way is dropped in silence",
           [(TRANSMIT, "if (code != NO_ERROR)", "if (code == NO_ERROR)")],
           "test_transit.py::test_no_way_is_told_to_the_inside_host"),
    Mutant("A5", "packets to a next hop that does not answer wait in the socket, as many as come",
           [(WAYS, "\treturn ADMIT_NOT;", "\treturn ADMIT_TO_RESOLVE;")],
           "test_transit.py::test_hosts_that_do_not_answer_hold_up_nobody"),
    Mutant("A6", "what leads to a third network is sent there",
           [(WAYS, "return out == outside ? WAY_OPEN : WAY_ELSEWHERE;", "return out == outside ? WAY_OPEN : WAY_OPEN;")],
           "test_transit.py::test_third_network_is_refused_with_an_error"),
    Mutant("A7", "the way is looked up without the source",
           [(WAYS, ".source = p->to == NAT_TO_OUTSIDE ? load32(p->data + 12) : 0", ".source = 0")],
           "test_transit.py::test_rule_by_source_is_followed"),
    Mutant("A8", "accept_redirects stays as it was",
           [(PLAN, "\tadd_setting(b, &accept_redirects, interface, 0);", "\t(void)accept_redirects;")],
           "test_transit.py::test_redirect_is_not_followed"),
    Mutant("A9", "a TTL of 255 is raised by one",
           [(TRANSMIT, "\tif (ip[8] < TTL_MOST)\n", "")],
           "test_transit.py::test_ttl_255_is_passed_through_the_tun"),
    Mutant("A10", "datagrams join whatever their ids are",
           [("daemon/path/merge.c", "return dont_fragment || load16", "return dont_fragment || true || load16")],
           "unit check_merge"),
    Mutant("B11", "early demultiplexing stays on", [(PLAN, f'add_global_setting(b, "net/ipv4/{p}_early_demux", 0);', "") for p in ("tcp", "udp")],
           "test_routing_kernel.py::test_fault_11_a_local_user_cannot_take_a_live_port"),
    Mutant("B11", "tc programs ask for a socket of the host before a mapping",
           [(BPF, "return is_owned(r, p->destination, c, bpf_ntohs(ports[1])) ||\n", "return ")],
           "test_steering.py::test_b11_a_local_socket_cannot_take_a_mapped_port"),
    Mutant("B12", "natd does not look for a socket of the host when a packet comes",
           [("core/nat/open.c", "d->action == DECIDED_HOST || nat_host_listens(n, w, d)", "d->action == DECIDED_HOST")],
           "test_routing_kernel.py::test_fault_12_a_socket_opened_later_works_at_once"),
    Mutant("B13", "natd's ports are not kept from the host's own connections",
           [(ROUTING, "rc = routing_reserve(r, &reserved);", "rc = r->changes > 1000000;")],
           "test_routing_kernel.py::test_fault_13_the_kernel_chooses_no_port_of_natd"),
    Mutant("B13", "a forward over the host's own ports is not mentioned",
           [("daemon/control/doctor_host.c", "forward_check(&c, v->sink);", "(void)c;")],
           "test_findings.py::test_fault_13_a_forward_over_the_hosts_own_ports"),
    Mutant("B14", "each gap between forwards gets its rule",
           [("daemon/routing/routing_plan.h", "ROUTING_GAPS = 4,", "ROUTING_GAPS = 4096,"),
            (PLAN, "return room > ROUTING_GAPS ? ROUTING_GAPS : room;", "return room > ROUTING_GAPS ? room : ROUTING_GAPS;")],
           "test_routing_kernel.py::test_fault_14_rules_do_not_grow_with_forwards"),
    Mutant("B14", "natd reads its configuration while packets wait",
           [("daemon/reload.c", "\tnatd_aside(n, load_config, &j);", "\tload_config(&j);")],
           "test_service.py::test_fault_14_packets_go_on_while_the_configuration_is_read"),
    Mutant("B15", "rules bring no GRE to natd", [("common/protocol.h", "6, 17, 47, 50, 132", "6, 17, 50, 132")],
           "test_routing_kernel.py::test_fault_15_protocols_without_ports_work_both_ways"),
    Mutant("B15", "a protocol whose answers go to the host is translated",
           [("core/nat/endpoint.c", "\t\treturn DROP_OTHER_PROTOCOL;\n", "\t\t(void)k;\n")],
           "test_routing_kernel.py::test_fault_15_protocols_that_cannot_come_back_are_refused"),
    Mutant("B16", "a firewall that tells interfaces apart is not mentioned",
           [(FIREWALL, "\tif (v->setup->is_exact || !setup_is_shared(v->setup) || is_guarded(v, f))", "\tif (v->setup || is_guarded(v, f))")],
           "test_findings.py::test_fault_16_a_firewall_that_tells_interfaces_apart_is_found"),
    Mutant("B16", "tc programs let the host's fragments in at natd's device",
           [(BPF, "\tif (!may_come_back(p))\n\t\treturn TC_ACT_UNSPEC;", "\tif (p->protocol != 255)\n\t\treturn TC_ACT_UNSPEC;")],
           "test_steering.py::test_b16_the_hosts_fragments_come_in_by_the_interface_that_brought_them"),
    Mutant("B16", "what a local user sends into natd's device is translated",
           [("daemon/path/lane.c", "if (is_local(l, &p[i]) && ", "if (l == NULL && is_local(l, &p[i]) && ")],
           "test_routing_kernel.py::test_fault_16_a_local_user_cannot_send_by_natds_device"),
    Mutant("C17", "a chain that drops is not mentioned", [(FIREWALL, "\tif (!r.drops)", "\tif (!r.drops || v != NULL)")],
           "test_findings.py::test_fault_17_a_firewall_that_drops_is_found"),
    Mutant("C18", "what leaves untranslated is not mentioned",
           [(HOST, "if (v->config->routing == ROUTING_MANAGED || netlink", "if (v->config->routing != ROUTING_MANAGED || netlink")],
           "test_findings.py::test_fault_18_advice_for_routing_none_does_not_leak"),
    Mutant("C19", "a stop puts forwarding back",
           [(SETTINGS, "bool holds = how == ROUTING_STOP_CLOSED && is_closing(v);", "bool holds = how == ROUTING_STOP_CLOSED && !v;")],
           "test_host.py::test_fault_19_a_stop_is_closed"),
    Mutant("C20", "prefixes alone make no rules that translate",
           [(PLAN, "for (uint32_t i = 0; s->n_inside == 0 && i < s->n_pairs; i++) {\n\t\tstruct match m = pair_match(s, &s->pairs[i]);\n\n"
             "\t\tadd_lookup(b, behind(b, TRANSLATE)", "for (uint32_t i = 0; s->n_inside > 999 && i < s->n_pairs; i++) {\n"
             "\t\tstruct match m = pair_match(s, &s->pairs[i]);\n\n\t\tadd_lookup(b, behind(b, TRANSLATE)")],
           "test_host.py::test_fault_20_prefixes_without_interfaces"),
    Mutant("C21", "every natd takes the first place",
           [("daemon/routing/routing_place.c", "\t\tif (fd == -EADDRINUSE)\n\t\t\tcontinue;", "\t\tif (fd == -EADDRINUSE)\n\t\t\tfd = dup(2);")],
           "test_host.py::test_fault_21_two_natds_on_one_host"),
    Mutant("C22", "nothing is put back", [("daemon/reload.c", "static void repair(struct natd *n)\n{", "static void repair(struct natd *n)\n{\n\tif (n)\n\t\treturn;")],
           "test_host.py::test_fault_22_every_setting_is_put_back"),
    Mutant("C22", "there is no look each second", [("daemon/watch.c", "\tnatd_look(n);\n", "")],
           "test_host.py::test_fault_22_every_setting_is_put_back"),
    Mutant("C23", "an uplink's network that holds the inside prefix is an error",
           [("daemon/setup/build_policy.c", "BUILD_WARNING(\n\t\t\t\t\tb, b->c->inside.line,", "BUILD_ERROR(\n\t\t\t\t\tb, b->c->inside.line,")],
           "test_host.py::test_fault_23_facts_of_the_host_are_no_errors"),
    Mutant("C24", "alternative names are unknown", [("daemon/kernel/netlink_link.c", "if (rc == -ENODEV && name[0])", "if (rc == -EPERM && name[0])")],
           "test_host.py::test_fault_24_alternative_names"),
    Mutant("C25", "a loose reverse path filter is not enough", [(SETTINGS, "return tail && strcmp", "return now > 9 && tail && strcmp")],
           "test_host.py::test_fault_25_read_only_settings"),
    Mutant("C26", "an inside interface may bring every inside source",
           [(PLAN, "add_blackhole(b, behind(b, FOREIGN), &m);", "add_lookup(b, behind(b, FOREIGN), &m, translate_table(b));")],
           "test_host.py::test_fault_26_a_guest_cannot_play_another_inside_host"),
    Mutant("C27", "169.254.0.0/16 is translated", [("core/nat/nat.c", "w->v.dst >> 16 == LINK_LOCAL &&", "w->v.dst >> 16 == LINK_LOCAL + 1 &&")],
           "test_host.py::test_fault_27_link_local_is_not_translated"),
    Mutant("C28", "a missing interface is not mentioned",
           [(HOST, "\t\tcheck_inside_interface(v, &f->inside[i]);", "\t\tif (f->n_inside > 9)\n\t\t\tcheck_inside_interface(v, &f->inside[i]);")],
           "test_findings.py::test_fault_28_missing_interface_is_named_so"),
    Mutant("C28", "drops are not mentioned", [(DOCTOR, "if (!status_has_recent(v->c, kinds[i].reason))", "if (i < 99 || !status_has_recent(v->c, kinds[i].reason))")],
           "test_findings.py::test_fault_28_drops_that_somebody_should_know_of"),
    Mutant("C28", "other sources from inside end in the kernel, uncounted",
           [(PLAN, "\tadd_lookup(b, behind(b, OTHERS), &m, translate_table(b));", "\t(void)m;")],
           "test_host.py::test_fault_28_other_sources_from_inside_are_counted"),
    Mutant("C29", "the doctor asks one question for each forward",
           [(DOCTOR, "\tdoctor_host(&r->visit, r->depth);", "\tdoctor_host(&r->visit, r->depth);\n\tfor (uint32_t i = 0; i < r->visit.setup->policy.n_forwards; i++)"
             "\n\t\tdoctor_forward_route(&r->visit, i);")],
           "test_findings.py::test_fault_29_the_doctor_asks_no_question_a_forward"),
    Mutant("C30", "sessions of a lost address end in silence",
           [("core/nat/judge.c", "if (why == SESSION_END_ADDRESS_LOST && !nat_reset_later(n, s))", "if (why == SESSION_END_ADDRESS_LOST && n == NULL)")],
           "test_host.py::test_fault_30_a_lost_address_ends_connections_at_once"),
]


class Bench:
    """The copy of the source, built."""

    def __init__(self, work):
        self.src, self.build = f"{work}/natd", f"{work}/build"

    def run(self, *command, **more):
        return subprocess.run(command, cwd=self.build, capture_output=True, text=True, check=False, **more)

    def prepare(self, units):
        shutil.rmtree(self.src, ignore_errors=True)
        os.makedirs(self.src)
        os.makedirs(self.build, exist_ok=True)
        if os.path.exists(f"{ROOT}/.git"):
            files = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout
        else:
            files = subprocess.run(["find", ".", "-type", "f", "-print0"], cwd=ROOT, capture_output=True, check=True).stdout
        packed = subprocess.run(["tar", "-C", ROOT, "--ignore-failed-read", "--null", "-T", "-", "-cf", "-"], input=files, capture_output=True, check=True)
        subprocess.run(["tar", "-C", self.src, "-xf", "-"], input=packed.stdout, check=True)
        compiler = "ccache gcc" if shutil.which("ccache") else "gcc"
        for command in (["sh", "-c", f"test -x {self.src}/configure || (cd {self.src} && ./autogen.sh)"],
                        [f"{self.src}/configure", "-q", f"CC={compiler}", "--disable-lto", "CFLAGS=-O1 -w"], ["make", "-s", f"-j{os.cpu_count()}", *PROGRAMS, *units]):
            done = self.run(*command)
            if done.returncode != 0:
                raise SystemExit(f"mutants: {' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")

    def edit(self, mutant):
        """Cuts the protection; a function that puts it back."""
        kept = {}
        for file, old, new in mutant.edits:
            path = f"{self.src}/src/{file}"
            with open(path, encoding="utf-8") as source:
                text = source.read()
            kept.setdefault(path, text)
            if old not in text:
                raise SystemExit(f"mutants: {mutant.fault}: no longer in {file}, cut something else: {old}")
            with open(path, "w", encoding="utf-8") as source:
                source.write(text.replace(old, new, 1))

        def put_back():
            for path, text in kept.items():
                with open(path, "w", encoding="utf-8") as source:
                    source.write(text)
        return put_back

    def make(self, mutant, units):
        """Only what the tests of a cut run."""
        return self.run("make", "-s", f"-j{os.cpu_count()}", *(units or ["natd-bpf-load" if mutant.is_bpf else "natd"]))

    def tests(self, units, integration):
        """None: all passed; else what failed first. A skipped test is no verdict."""
        for program in units:
            done = self.run(program, env={**os.environ, "srcdir": self.src, "CK_VERBOSITY": "normal"})
            if done.returncode != 0:
                return next((line.split("/")[-1] for line in done.stdout.splitlines() if ":F:" in line or ":E:" in line), done.stdout[-300:])
        if not integration:
            return None
        environment = {**os.environ, "NATD": f"{self.build}/natd", "NATCTL": f"{self.build}/natctl"}
        environment.pop("NATD_TESTS_UNSHARED", None)
        done = self.run(f"{self.src}/tests/integration/run", "-x", "-rs", *integration, env=environment)
        if done.returncode == 0 and "skipped" in done.stdout:
            return "SKIPPED " + done.stdout[-300:]
        if done.returncode == 0:
            return None
        # a helper's assertion names the test as well as the line
        failed = re.findall(r"^(?:FAILED|ERROR) (?:\S*/)?(\S+)", done.stdout, re.M) or re.findall(r"_+ (?:ERROR at setup of )?(test_\S+) _+", done.stdout)
        why = re.findall(r"^E +(.+)", done.stdout, re.M)
        return f"{', '.join(failed[:2])}: {why[0][:100] if why else done.stdout[-200:]}"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--out")
    parser.add_argument("--work")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("faults", nargs="*")
    chosen = parser.parse_args()
    mutants = [m for m in MUTANTS if not chosen.faults or m.fault in chosen.faults or m.name in chosen.faults]
    units = sorted({f"tests/unit/{program}" for m in mutants for program in m.unit})
    integration = list(dict.fromkeys(test for m in mutants for test in m.integration))
    work = chosen.work or tempfile.mkdtemp(prefix="natd-mutants-")
    bench, alive, lines = Bench(work), 0, []
    try:
        if not chosen.again:
            bench.prepare(units)
            whole = bench.tests(units, integration)
            print(f"without a cut: {whole or 'all pass'}", flush=True)
            if whole:
                return 1
        for mutant in mutants:
            put_back = bench.edit(mutant)
            own = [f"tests/unit/{program}" for program in mutant.unit]
            made = bench.make(mutant, own)
            if made.returncode != 0:
                raise SystemExit(f"mutants: {mutant.fault}: does not build:\n{made.stderr[-2000:]}")
            seen = [bench.tests([], [test]) for test in mutant.integration] + [bench.tests([unit], []) for unit in own]
            put_back()
            if mutant.is_bpf:
                bench.make(mutant, [])
            good = all(seen) and not any("SKIPPED" in each for each in seen)
            alive += not good
            tests = ", ".join(f"`{test.split('::')[-1]}`" for test in mutant.tests)
            lines.append(f"| {mutant.name} | {mutant.text} | {tests} | {'fails' if good else 'NOT SEEN'} |")
            print(lines[-1], *[f"    {each}" for each in seen], sep="\n", flush=True)
    finally:
        if not chosen.work:
            shutil.rmtree(work)
    last = f"{len(mutants)} cuts, {len(mutants) - alive} seen, of {len({m.fault for m in mutants})} faults"
    print(f"mutants: {last}")
    if chosen.out:
        with open(chosen.out, "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + f"\n\n{last}\n")
    return alive != 0


if __name__ == "__main__":
    sys.exit(main())
