"""Device names: the device that each resolves to, and the reason where a device is unavailable."""

import os
import re
import sys

import pytest
from typer.testing import CliRunner

from fastmlp import MLP, devices
from fastmlp.commands.cli import app
from fastmlp.devices import backend, check_name, resolve
from fastmlp.runtime import found_devices


def test_device_table_lists_cpu_and_gpus_with_reasons():
    by_name = {device.name: device for device in devices()}
    assert list(by_name) == ["cpu", "cuda", *(f"cuda:{k}" for k in range(1, len(by_name) - 1))]
    assert by_name["cpu"].available
    assert by_name["cpu"].reason == ""
    assert "thread" in by_name["cpu"].description
    for device in by_name.values():
        assert device.available == (device.reason == ""), "what is not available says why"


def test_cpu_is_used_on_request():
    net = MLP((2, 1), device="cpu")
    assert net.device.name == "cpu"
    assert str(net.device) == "cpu (as requested)"


@pytest.mark.parametrize("name", ("cuda", "cuda:0", "cuda:1"))
def test_unavailable_cuda_raises_with_the_reason(name):
    cuda = devices()[1]
    if cuda.available:
        pytest.skip("this machine has CUDA")
    with pytest.raises(RuntimeError, match=re.escape(f"device={name!r} is not available: {cuda.reason}")):
        MLP((2, 1), device=name)


def test_auto_falls_back_to_cpu_with_the_reason():
    cuda = devices()[1]
    if cuda.available:
        pytest.skip("this machine has CUDA")
    device = MLP((2, 1)).device
    assert device.name == "cpu"
    assert cuda.reason in device.reason


@pytest.mark.parametrize(
    "name, near",
    [("cudda", "cuda"), ("cpu ", "cpu"), ("cpu:0", "cpu"), ("cuda:x", "cuda"), ("Auto", "auto"), (None, ""), (0, "")],
)
def test_unknown_device_raises_with_a_suggestion(name, near):
    with pytest.raises(ValueError, match=f"Unknown device {name!r}.*{near}.*Choose from: auto, cpu, cuda"):
        MLP((2, 1), device=name)


def test_check_name_returns_the_kind_of_device():
    assert [check_name(name) for name in ("auto", "cpu", "cuda", "cuda:3")] == ["auto", "cpu", "cuda", "cuda"]


def test_backend_of_the_cpu_is_its_module():
    assert backend(resolve("cpu")).__name__ == "fastmlp.kernels.cpu.backend"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_process_searches_for_gpus_anew(fresh_python):
    """A CUDA driver that was initialised before a fork does not work in the child."""
    done = fresh_python(
        "import os, fastmlp\nfrom fastmlp.runtime.found_devices import find_cuda\nfastmlp.devices()\n"
        "assert find_cuda.cache_info().currsize == 1\nchild = os.fork()\n"
        "if child == 0: os._exit(find_cuda.cache_info().currsize)\nassert os.waitpid(child, 0)[1] == 0"
    )
    assert done.returncode == 0, done.stderr


# ---- what is reported of CuPy, and of the card

REMEDY = "pip install 'fastmlp[cuda13]' (in a checkout: pip install '.[cuda13]'; cuda12 for drivers older than 580)"
REPORT = """
import sys, fastmlp
print(fastmlp.devices()[1].reason)
sys.argv = ['fastmlp', 'devices']
from fastmlp.commands.cli import main
main()
"""


def reported(fresh_python, program):
    """The reason that devices() gives for the lack of a GPU, and what `fastmlp devices` prints."""
    done = fresh_python(program + REPORT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n", 1)


def test_missing_cupy_is_reported_with_the_install_command(fresh_python):
    """The message has one line with the install command, to be copied."""
    reason, printed = reported(fresh_python, "import sys\nsys.modules['cupy'] = None\n")
    assert reason == f"CuPy is not installed; install it with {REMEDY}"
    assert f"cuda: {reason}\n" in printed


def test_arrays_on_a_gpu_need_cupy(monkeypatch):
    """As tensors of PyTorch where CuPy is not installed."""

    class OnGPU:
        shape = (2, 2)

        def __dlpack_device__(self):
            return 2, 0

    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"The array is on a GPU \(cuda:0\), and .*; or copy the array to the host"):
        MLP((2, 1), device="cpu").predict(OnGPU())


@pytest.mark.parametrize(
    "text, named",
    [
        ("raise ImportError('libcudart.so.13: cannot open\\nand more')", "libcudart.so.13: cannot open"),
        ("import no_such_part", "No module named 'no_such_part'"),
        ("", "module 'cupy' has no attribute 'cuda'"),
    ],
)
def test_broken_cupy_is_reported_with_its_import_error(text, named, tmp_path, fresh_python):
    """CuPy is installed, so "not installed" would mislead."""
    (tmp_path / "cupy.py").write_text(text)
    reason, printed = reported(fresh_python, f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n")
    assert reason == f"CuPy cannot be imported ({named}); install a version that fits with {REMEDY}"
    assert f"cuda: {reason}\n" in printed


def test_devices_command_describes_each_gpu(emulated_cuda, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    emulated_cuda.settings.n_devices = 2
    result = CliRunner().invoke(app, ["devices"])
    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if "cuda" in line and "yes" in line]
    assert len(rows) == 2
    for row in rows:
        for words in ("Emulated GPU", "8 GiB", "compute capability 9.0", "driver for CUDA 13.0", "CuPy 14.2.0"):
            assert words in row


def test_unrequested_gpus_are_not_initialised(emulated_cuda, monkeypatch):
    """A trial kernel would take memory on each GPU and make this process one of the GPU's processes."""
    emulated_cuda.settings.n_devices = 4
    tried = []
    broken = lambda cupy, index: tried.append(index) or ("broken" if index == 1 else "")
    monkeypatch.setattr(found_devices, "_try_kernel", broken)
    for device, more in (("auto", [0]), ("cuda", []), ("cuda:0", []), ("cuda:2", [2])):
        tried.clear()
        MLP((2, 1), device=device)
        assert tried == more, device
    with pytest.raises(RuntimeError, match=r"device='cuda:1' is not available: broken\. Use"):
        MLP((2, 1), device="cuda:1")
    tried.clear()
    assert [row.available for row in devices()[1:]] == [True, False, True, True]
    assert tried == [3]


def test_auto_picks_the_first_working_gpu(emulated_cuda, monkeypatch):
    emulated_cuda.settings.n_devices = 3
    monkeypatch.setattr(found_devices, "_try_kernel", lambda cupy, index: "broken" * (index == 0))
    assert "cuda:1 is chosen from" in MLP((2, 1), device="auto").device.reason
    assert MLP((2, 1), device="cuda:1").device.name == "cuda:1"
