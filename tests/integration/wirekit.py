# SPDX-License-Identifier: ISC
"""What the tests on the wire share: a gateway of each kind as a fixture, and the record of their verdicts.

natd is there with tun.offload and without: each test runs in both modes. NATD_WIRE_KINDS may name nft too
("natd,pool,natd-plain,pool-plain,nft"): the same tests run against nft masquerade, whose verdicts are recorded beside
natd's in the file that NATD_WIRE_RESULTS names, and never fail. A test's name carries the ids of
docs/requirements.tsv that it shows; what no RFC numbers is named in @on_the_wire("..."): L1-L10 are the
habits of masquerade that natd must not share, the others what compliance.py lists as beyond the RFCs.
"""
import functools
import inspect
import json
import os
import sys

import pytest
from scapy.layers.inet import ICMP, IP

from wirelab import Gateway, headers_are_valid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import compliance  # noqa: E402

KINDS = os.environ.get("NATD_WIRE_KINDS", "natd,pool,natd-plain,pool-plain").split(",")
RESULTS = os.environ.get("NATD_WIRE_RESULTS")
REQUIREMENTS = {row[0] for row in compliance.rows()}
_results = {}


@pytest.fixture(scope="module")
def gateways():
    made = {}
    yield made
    for gateway in made.values():
        gateway.close()
    if RESULTS:
        with open(RESULTS, "w", encoding="utf-8") as out:
            json.dump(_results, out, indent=1, sort_keys=True)
            out.write("\n")


@pytest.fixture
def lab():
    """Only so that conftest skips where there can be no namespaces."""


@pytest.fixture
def gw(request, gateways, lab):
    if request.param not in gateways:
        gateways[request.param] = Gateway(request.param)
    return gateways[request.param]


def record(kind, ids, passed):
    """One failure is a failure of the requirement; ids that the table of requirements does not have are parts of others."""
    column = "nft" if kind == "nft" else "natd"
    for rid in ids:
        row = _results.setdefault(rid, {})
        row[column] = "pass" if passed and row.get(column) != "FAIL" else "FAIL"


def on_the_wire(*extra, kinds=("natd", "pool", "nft"), **setup):
    """Runs the test with a gateway of each kind, set up so. What the comparison fails is recorded, not failed; what it
    has no setting for, it is not asked (`kinds`)."""
    def decorate(test):
        ids = compliance.ids_in(test.__name__) & REQUIREMENTS | set(extra)

        @functools.wraps(test)
        def run(gw, **more):
            gw.set_up(**setup)
            try:
                test(gw, **more)
            except AssertionError as error:
                record(gw.kind, ids, False)
                if gw.kind != "nft":
                    raise
                pytest.skip("nft fails: " + str(error).replace("\n", " ")[:100])
            record(gw.kind, ids, True)
        run.__signature__ = inspect.signature(test)
        return pytest.mark.parametrize("gw", [kind for kind in KINDS if kind.split("-")[0] in kinds], indirect=True)(run)
    return decorate


def quote_of(error):
    """The packet that an ICMP error quotes."""
    return IP(bytes(error[ICMP].payload))


def error_about(packet, kind, source, to, *, length=28, code=0, extension=b"", **fields):
    quote = bytes(packet)[:length]
    return IP(src=source, dst=to) / ICMP(type=kind, code=code, **fields) / (quote + extension)


def only(packets):
    assert len(packets) == 1, packets
    assert headers_are_valid(packets[0]), packets[0].show(dump=True)
    return packets[0]
