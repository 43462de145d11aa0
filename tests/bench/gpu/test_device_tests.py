"""`python bench/gpu/run.py --tests`: how the results of tests are counted."""

import sys

import pytest
from gpu import device_tests


@pytest.mark.parametrize("missing", ["pytest", "scipy"])
def test_missing_test_packages_are_reported(missing, monkeypatch):
    """The report must not read "0 passed", as if tests had run."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert device_tests.run_tests(30.0) == f"not run: {missing} is not installed"


def test_results_are_counted_and_slow_tests_stopped(monkeypatch, tmp_path):
    """Processes that take too long are stopped; warnings, which a card's driver may have, are no failures."""
    assert len(device_tests.FILES) > 20
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\nmarkers = emulator\n")
    some, late = tmp_path / "test_some.py", tmp_path / "test_late.py"
    some.write_text(
        "import pytest, warnings\npytestmark = pytest.mark.emulator\ndef test_warns(): warnings.warn('old driver')\n"
        "def test_fails(): assert False\n@pytest.mark.skip\ndef test_skipped(): pass\n"
    )
    late.write_text(
        "import pytest, time\npytestmark = pytest.mark.emulator\n"
        "def test_passes(): pass\ndef test_takes_a_minute(): time.sleep(60)\n"
    )
    options = [option for option in device_tests.OPTIONS if option not in ("--device", "--require-device", "cuda")]
    monkeypatch.setattr(device_tests, "ROOT", tmp_path)
    options += ["-p", "no:randomly"]  # a plugin that would change the order of the tests, where it is installed
    monkeypatch.setattr(device_tests, "OPTIONS", tuple(options))
    found = device_tests.run_tests(8.0, files=[some, late])
    assert found == "2 passed, 1 failed, 0 error, 1 skipped; 1 of 2 processes stopped after 8 s"
