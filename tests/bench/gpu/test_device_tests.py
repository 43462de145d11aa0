"""`python bench/gpu/run.py --tests`: how the results of tests are counted."""

import os
import sys

import pytest
from gpu import device_tests


@pytest.mark.parametrize("missing", ["pytest", "scipy"])
def test_missing_test_packages_are_reported(missing, monkeypatch):
    """The report must not read "0 passed", as if tests had run."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert device_tests.run_tests(30.0) == f"not run: {missing} is not installed"


@pytest.mark.full
def test_test_results_are_counted_and_slow_tests_stopped(monkeypatch, tmp_path):
    """Failures are counted, and processes that take too long are stopped."""
    assert len(device_tests.FILES) > 20
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_passes(): pass\ndef test_fails(): assert False\n"
        "@pytest.mark.skip\ndef test_skipped(): pass\n"
    )
    (tmp_path / "test_late.py").write_text(
        "import time\ndef test_passes(): pass\ndef test_takes_a_minute(): time.sleep(60)\n"
    )
    monkeypatch.setattr(device_tests, "ROOT", tmp_path)
    monkeypatch.setattr(
        device_tests, "OPTIONS", ("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path))
    )
    some, late = tmp_path / "test_some.py", tmp_path / "test_late.py"
    assert device_tests.run_tests(30.0, files=[some]) == "1 passed, 1 failed, 0 error, 1 skipped"
    assert (
        device_tests.run_tests(4.0, files=[late])
        == "1 passed, 0 failed, 0 error, 0 skipped; 1 of 1 processes stopped after 4 s"
    )


@pytest.mark.full
def test_warnings_fail_no_test_on_a_card(monkeypatch, tmp_path):
    """The suite's settings make them errors."""
    path = tmp_path / "test_warns.py"
    path.write_text("import warnings, pytest\n@pytest.mark.emulator\ndef test_warns(): warnings.warn('old driver')\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\nmarkers = emulator\n")
    monkeypatch.setattr(device_tests, "ROOT", tmp_path)
    without_device = [
        option for option in device_tests.OPTIONS if option not in ("--device", "--require-device", "cuda")
    ]
    monkeypatch.setattr(device_tests, "OPTIONS", tuple(without_device))
    assert device_tests.run_tests(30.0, files=[path]) == "1 passed, 0 failed, 0 error, 0 skipped"
