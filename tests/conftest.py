"""What every test may ask for."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "helpers")]
os.environ["FASTMLP_COMPILE_PROCESSES"] = "1"  # the suite has two processes already
os.environ["FASTMLP_CHECK_TYPES"] = "1"  # kernels are then called with what they were compiled for, or a test fails


def pytest_addoption(parser):
    group = parser.getgroup("fastmlp")
    group.addoption(
        "--device",
        choices=("emulator", "ptx", "cuda"),
        default="emulator",
        help="where tests of the CUDA backend run: on the CPU, in tests/cuda_emulator, by g++ or as the PTX that NVRTC "
        "makes (tests/ptx_interpreter, ten times slower), or on a GPU, through CuPy",
    )
    group.addoption(
        "--require-device",
        choices=("emulator", "cuda"),
        default=os.environ.get("FASTMLP_REQUIRE_DEVICE"),
        help="fail where a test would be skipped because this device cannot be had",
    )
    group.addoption("--full", action="store_true", help="also the tests that take long, which .ci/full runs")
    group.addoption("--long", action="store_true", help="tests/reliability in its long form, with what --full adds")


def pytest_configure(config):
    if config.getoption("--device") == "ptx":
        import ptx_interpreter
        from cuda_emulator import state

        state.DEFAULTS["load"] = ptx_interpreter.load
    config.option.loadscopereorder = False  # of pytest-xdist: _longest_first has the order in which files are given out


def pytest_sessionstart(session):
    """Before a run of all tests: what most of them need, compiled by a process per dtype (first_kernels.py)."""
    config = session.config
    runs_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.collectonly
    runs_all = runs_all and config.option.markexpr != "quick"
    if hasattr(config, "workerinput") or not runs_all:
        return
    program = Path(__file__).parent / "helpers" / "first_kernels.py"
    processes = [subprocess.Popen([sys.executable, program, dtype]) for dtype in ("float32", "float64")]
    failed = [process.args for process in processes if process.wait()]
    if failed:
        raise pytest.UsageError(f"The kernels that most tests need could not be compiled; see above: {failed}.")


def pytest_collection():
    """Pause Python's garbage collection, a fifth of the time that it takes to collect the tests."""
    gc.disable()


def pytest_collection_finish():
    """Exempt what collecting the tests has made from garbage collection, which took a second with it."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """What tests/reliability has counted."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    counts = [
        f"{text}  ({report.nodeid.rpartition('::')[2]})"
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, text in report.user_properties
        if name == "count"
    ]
    if counts:
        terminalreporter.section("what reliability tests have tried")
        terminalreporter.write("\n".join(counts) + "\n")


QUICK = "properties", "repo", "cuda", "unit"  # folders of which each test's first case is quick ...
NOT_QUICK = (
    "kernels",
    "unit/plots",
    "numpy_benchmark",
    "reproduce",
    "stuck_demo",
    "estimator_checks",
    "diagnosis_validation",
)  # ... but for these


@cache
def _may_be_quick(path):
    """Whether a folder or file below this one can have tests that are `quick`."""
    path = path.relative_to(Path(__file__).parent)
    return not path.parts or (path.parts[0] in QUICK and not any(part in path.as_posix() for part in NOT_QUICK))


def pytest_ignore_collect(collection_path, config):
    """With `-m quick` leave out what has no quick tests: to collect all of them takes half a minute."""
    return True if config.option.markexpr == "quick" and not _may_be_quick(collection_path) else None


def _mark_quick(items):
    """Mark the first case of each test of a feature as `quick`."""
    seen = set()
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name in seen or not _may_be_quick(item.path):
            continue
        if not {"full", "nvrtc", "slow"} & {marker.name for marker in item.iter_markers()}:
            item.add_marker("quick")
            seen.add(name)


def _longest_first(items):
    """Sort the files of tests so that no worker is left with a long one at the end.

    The few tests of reliability take seconds each, those of NVRTC minutes; of the others a file takes the longer the
    more tests it has.
    """
    n_tests = Counter(item.path for item in items)
    takes_long = cache(lambda path: "reliability" in path.parts or "nvrtc" in path.stem)
    items.sort(key=lambda item: (not takes_long(item.path), -n_tests[item.path], item.path))


def pytest_collection_modifyitems(config, items):
    _mark_quick(items)
    if not config.getoption("--full") and not config.getoption("--long"):
        left_out = {item for item in items if item.get_closest_marker("full")}
        config.hook.pytest_deselected(items=[*left_out])
        items[:] = [item for item in items if item not in left_out]
    _longest_first(items)
    for item in items:
        emulates = {"cuda", "emulated_cuda"} & set(getattr(item, "fixturenames", ()))
        if emulates and not {"nvrtc", "ptx"} & {marker.name for marker in item.iter_markers()}:
            item.add_marker(pytest.mark.emulator)


def _without(device, reason, config):
    """Skip, or fail where the device was asked for with --require-device."""
    (pytest.fail if config.getoption("--require-device") == device else pytest.skip)(f"no {device}: {reason}")


def _forget_backend():
    """Modules that have imported a CuPy, real or not, and what was found out about it."""
    from fastmlp.devices import _import_backend
    from fastmlp.runtime.found_devices import find_cuda

    find_cuda.cache_clear()
    _import_backend.cache_clear()
    modules = [name for name in sys.modules if name.startswith("fastmlp.kernels.cuda.")]
    for name in modules:
        is_package = hasattr(sys.modules[name], "__path__")
        if not is_package and not name.endswith(".formula_printer"):
            package, _, module = name.rpartition(".")
            del sys.modules[name]
            vars(sys.modules[package]).pop(module, None)


@pytest.fixture
def emulated_cuda(request):
    """The emulator, installed as `cupy`: its settings and counts. For tests that a GPU has no say in."""
    device = request.config.getoption("--device")
    if device == "cuda":
        pytest.skip("about the emulator")
    if device == "ptx":
        request.getfixturevalue("with_nvrtc")
    if shutil.which("g++") is None:
        _without("emulator", "it needs g++", request.config)
    import cuda_emulator

    _forget_backend()
    with cuda_emulator.installed():
        yield cuda_emulator
    _forget_backend()


@pytest.fixture
def compiled_by_gpp(request):
    """For tests about what only kernels that g++ has compiled have: their macros, messages and orders of threads."""
    if request.config.getoption("--device") != "emulator":
        pytest.skip("about kernels that g++ compiles")


@pytest.fixture
def run_as_ptx(request):
    """Kernels run as the PTX that NVRTC makes of them."""
    request.getfixturevalue("with_nvrtc")
    request.getfixturevalue("emulated_cuda")
    import ptx_interpreter

    with ptx_interpreter.running():
        yield


@pytest.fixture
def with_nvrtc(request):
    """For tests that compile for real architectures."""
    from cuda_emulator import nvrtc

    if nvrtc.find() is None:
        _without("emulator", "NVRTC is missing; pip install 'fastmlp[test]' has it on Linux", request.config)


@pytest.fixture
def with_asan(request):
    """For tests under an address sanitiser."""
    from cuda_emulator import asan

    if shutil.which("g++") is None or asan.library() is None:
        _without("emulator", "g++ has no AddressSanitizer", request.config)


@pytest.fixture
def cuda(request):
    """cupy: the emulator's, or with --device cuda the real one."""
    if request.config.getoption("--device") != "cuda":
        request.getfixturevalue("emulated_cuda")
        import cupy
    else:
        try:
            import cupy
        except ImportError as error:
            _without("cuda", error, request.config)
        if not cupy.cuda.is_available():
            _without("cuda", "CuPy finds no GPU and driver", request.config)
    return cupy


@pytest.fixture
def be_late(cuda, request):
    """be_late("all") or ("null"): from there on the emulator's streams are, until be_late(""). A GPU's streams are as
    they are, which "" stands for; tests of others are skipped there.
    """

    def be(late):
        if late or request.config.getoption("--device") != "cuda":
            request.getfixturevalue("emulated_cuda").settings.late = late

    return be


@pytest.fixture
def ctrl_c():
    """SIGINT raises KeyboardInterrupt, as where somebody watches: tests that send it may themselves be run where it is
    ignored, as in a shell's background job.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if before is not None:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def rng():
    return np.random.default_rng(12345)


@pytest.fixture
def threads(monkeypatch):
    """threads(n): every plan of a net by the layerwise kernels has n threads from then on."""
    import fastmlp.execution.dispatch

    def choose(n):
        for name in ("choose_threads", "choose_evaluation_threads"):
            monkeypatch.setattr(fastmlp.execution.dispatch, name, lambda *_: n)

    return choose


@pytest.fixture(autouse=True)
def choices_are_made_anew():
    """Choices of kernels are not kept from fit to fit, since tests set thresholds."""
    from fastmlp.execution import dispatch

    with pytest.MonkeyPatch.context() as patch:  # the fixture `monkeypatch` would be torn down after all others
        for name in ("choose_on_cpu", "choose_nets_family"):
            patch.setattr(dispatch, name, getattr(dispatch, name).__wrapped__)
        yield


@pytest.fixture(autouse=True)
def unrolled_code_at_once(request):
    """In tests and cases named "unrolled", the first fit of a population's architecture compiles its unrolled code."""
    if "unrolled" not in request.node.name:
        yield
        return
    from fastmlp.execution import thresholds

    with pytest.MonkeyPatch.context() as patch:  # the fixture `monkeypatch` would be torn down after all others
        patch.setattr(thresholds, "COMPILE_UNROLLED_NETS_FROM", 0)
        yield


@pytest.fixture
def is_long(request):
    """Return whether the long form is to run (--long)."""
    return request.config.getoption("--long")


@pytest.fixture
def count(record_property):
    """Return a function that records a count for the summary at the end of the run: count("kills of a save", 50)."""

    def keep(what, number):
        record_property("count", f"{number:,} {what}")

    return keep


@pytest.fixture
def fresh_python():
    """Runs text as a program in a process of its own, where `import fastmlp` finds the package under test."""
    import fastmlp

    folder = str(Path(fastmlp.__file__).parents[1])

    def run(text):
        environment = {**os.environ, "PYTHONPATH": folder}
        return subprocess.run(
            [sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    return run
