# SPDX-License-Identifier: ISC
"""A plugin of pytest for tests/vm/confined: a test that takes longer than NATD_TEST_SECONDS has failed, and the next one begins."""
import os
import signal

import pytest

SECONDS = int(os.environ["NATD_TEST_SECONDS"])


def _late(*_):
    raise TimeoutError(f"it took longer than {SECONDS} s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    del item
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
