"""Run pytest on a file for ctest: exit code 77 (skipped) where pytest is missing or all is skipped."""

import importlib.util
import sys

SKIPPED = 77

if importlib.util.find_spec("pytest") is None:
    print("skipped: pytest is not installed, run ./dev setup")
    sys.exit(SKIPPED)

import pytest  # noqa: E402


class Counter:
    """Counts what ran, to tell a passed file from one whose tests were all skipped."""

    def __init__(self):
        self.n_run = 0

    def pytest_runtest_logreport(self, report):
        self.n_run += report.when == "call" and report.outcome != "skipped"


counter = Counter()
code = pytest.main(["-q", "-rs", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[counter])
sys.exit(SKIPPED if code == 0 and counter.n_run == 0 else int(code))
