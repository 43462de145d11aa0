"""The real CuPy, also without a driver: error messages, the names that fastmlp uses, and compilation by its NVRTC.

.ci/run installs the wheel with each of its extras cuda12 and cuda13 into an environment of its own and runs this
module there.
"""

import ast
import importlib
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fastmlp
import fastmlp.kernels
from fastmlp.runtime import found_devices

cupy = pytest.importorskip("cupy", reason="CuPy is not installed here; .ci/full runs this module where it is")
without_driver = pytest.mark.skipif(cupy.cuda.is_available(), reason="there is a GPU and its driver")


def test_error_number_of_a_missing_gpu_is_known():
    error = cupy.cuda.runtime.CUDARuntimeError(found_devices.NO_DEVICE)
    assert (error.status, str(error).partition(":")[0]) == (100, "cudaErrorNoDevice")


@without_driver
def test_trial_kernel_uses_the_libraries_of_cupys_wheels(fresh_python, monkeypatch):
    """The libraries of CuPy's wheels are found by a process that has not loaded them and has no LD_LIBRARY_PATH.

    So only the missing driver keeps a kernel from running here.
    """
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    done = fresh_python(
        "import cupy\nfrom fastmlp.runtime.found_devices import _try_kernel\nprint(_try_kernel(cupy, 0))"
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"a small kernel does not compile or run there \(cudaError\w+: ", done.stdout), done.stdout


@without_driver
@pytest.mark.parametrize("make", [fastmlp.MLP, lambda sizes, **names: fastmlp.Population(sizes, 3, **names)])
def test_cuda_raises_and_auto_falls_back(make):
    cuda = fastmlp.devices()[1]
    assert (cuda.name, cuda.available) == ("cuda", False)
    assert re.match(rf"CuPy {re.escape(cupy.__version__)} finds no usable NVIDIA driver \(cudaError\w+: ", cuda.reason)
    with pytest.raises(RuntimeError, match=r"device='cuda' is not available: CuPy .* driver.*Use device='cpu'"):
        make((2, 2, 1), device="cuda")
    assert make((2, 2, 1)).device.name == "cpu"


@without_driver
def test_devices_command_names_cupy_and_the_missing_driver():
    program = "import sys; sys.argv = ['fastmlp', 'devices']; from fastmlp.commands.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(
        word in done.stdout for word in ("CuPy", cupy.__version__, "NVIDIA driver", "cudaErrorInsufficientDriver")
    )


KERNELS = Path(fastmlp.kernels.__file__).parent / "cuda"
MODULES = sorted(
    ".".join(path.relative_to(KERNELS).with_suffix("").parts)
    for path in KERNELS.rglob("*.py")
    if path.stem != "__init__"
)


@pytest.mark.parametrize("name", MODULES)
def test_backend_can_be_imported(name):
    importlib.import_module(f"fastmlp.kernels.cuda.{name}")


def dotted(node):
    """Return a node such as a.b.c as text; None for any other node."""
    if isinstance(node, ast.Name):
        return node.id
    inside = dotted(node.value) if isinstance(node, ast.Attribute) else None
    return inside and f"{inside}.{node.attr}"


def names_in_use():
    """Return every name cupy.… that the backend uses."""
    names = set()
    for path in [*KERNELS.rglob("*.py"), Path(found_devices.__file__)]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = dotted(node) if isinstance(node, ast.Attribute) else None
            if name and name.split(".")[0] == "cupy":
                names.add(name)
    return sorted(names)


def resolve(name):
    found = cupy
    for attribute in name.split(".")[1:]:
        found = getattr(found, attribute)
    return found


def test_cupy_has_every_name_in_use():
    names = names_in_use()
    assert len(names) > 10, "the parser finds names"
    missing = []
    for name in names:
        try:
            resolve(name)
        except AttributeError:
            missing.append(name)
    assert not missing


def test_out_of_memory_error_has_a_size():
    """OutOfMemoryError has the private attribute _size, which the error message of fastmlp reads."""
    assert cupy.cuda.memory.OutOfMemoryError(10, 20, 30)._size == 10


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_emulator_has_no_names_beyond_cupys():
    """All names of the emulator exist in CuPy."""
    from cuda_emulator import MODULES

    for name in ("cupy", "cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.memory"):
        made = {key for key in vars(MODULES[name]) if not key.startswith("_")} | (
            public(type(MODULES[name])) - public(type(ast)) if name.endswith("runtime") else set()
        )
        assert made <= public(importlib.import_module(name)), name
    for kind in ("Device", "Event", "Graph", "MemoryPointer", "Stream"):
        emulated, real = getattr(MODULES["cupy.cuda"], kind), getattr(cupy.cuda, kind)
        extra = {"mem"} if kind == "MemoryPointer" else set()
        assert public(emulated) <= public(real) | extra, kind


@without_driver
def test_cublas_has_every_function_in_use():
    """cuBLAS is found where CuPy finds it, with every function; its error without a driver becomes a message."""
    import ctypes

    from fastmlp.kernels.cuda.runtime import gemm

    with pytest.raises(gemm.CublasError, match="cublasCreate_v2 answers CUBLAS_STATUS_NOT_INITIALIZED"):
        gemm.library().cublasCreate_v2(ctypes.byref(ctypes.c_void_p()))


ARCHITECTURES = ("sm_80", "sm_90")  # as CuPy names an A100 and an H100


@pytest.fixture
def nvrtc():
    """Return CuPy's NVRTC, of the CUDA version that CuPy was built for, loaded before the emulator is installed."""
    from cupy_backends.cuda.libs import nvrtc as module

    assert module.getVersion()[0] == cupy.cuda.driver.get_build_version() // 1000
    return module


def test_nvrtc_of_cupy_compiles_every_kind_of_kernel(nvrtc, emulated_cuda):
    """NVRTC of CUDA 12 and of CUDA 13 compiles two cases of each kind of kernel, with all four dtypes among them."""
    from cuda_emulator.nvrtc import AS_CUPY
    from cuda_sources import KINDS, in_workspace, recording

    from fastmlp.kernels.cuda.build.compiled_module import OPTIONS

    kinds = set(KINDS) - {in_workspace}  # nearly the text of in_blocks
    with recording() as texts:
        for kind in kinds:
            kind(0)
            kind(3)
    assert len(set(texts)) == 2 * len(kinds)
    for words in ("typedef float T;", "typedef double T;", "typedef T Operand;", "typedef struct Bfloat16 Operand;"):
        assert any(words in text for text in texts), words

    def build(job):
        text, arch = job
        program = nvrtc.createProgram(text, "kernel.cu", (), ())
        try:
            nvrtc.compileProgram(program, (*OPTIONS, *AS_CUPY, f"-arch={arch}"))
            return nvrtc.getCUBIN(program)
        except nvrtc.NVRTCError:
            pytest.fail(f"{arch}: {nvrtc.getProgramLog(program)}")
        finally:
            nvrtc.destroyProgram(program)

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(build, [(text, arch) for text in texts for arch in ARCHITECTURES]))
    assert all(code.startswith(b"\x7fELF") for code in made)


# ---- what was compiled once

# What the driver would be asked for on the way to a module, and no more: which device is the current one, which
# architecture it has, and to load the machine code, which is only looked at. All of compiling is CuPy's own.
NO_DRIVER = """
from cupy._core import raw

class Loaded(function.Module):
    def load(self, code):
        loaded.append(hashlib.sha256(code).hexdigest())

function.Module = Loaded
compiler._get_arch = lambda: "80"
for home, name in ((raw, "_get_raw_module"), (compiler, "_get_arch_for_options_for_nvrtc")):
    setattr(home, name, getattr(home, name).__wrapped__)  # without its cache of results per device
"""
COMPILED = """
import hashlib, json
import cupy
from cupy.cuda import compiler, function
from cupy_backends.cuda.libs import nvrtc

given, loaded, create = [], [], nvrtc.createProgram

def created(text, *arguments):
    given.append(text)
    return create(text, *arguments)

nvrtc.createProgram = created
{stand_in}
from fastmlp.kernels.cuda.build import compiled_module

text = compiled_module.text_of("include/common.cuh")
text += 'extern "C" __global__ void k(float* x) {{ x[0] = {function}(x[0]); }}'
if cupy.cuda.is_available():
    compiled_module.compiled(text)["k"]
else:
    compiled_module.Module(text)._compiled.compile()
ours = [other == text for other in given if other]  # CuPy compiles an empty text in each process, for its key
print(json.dumps([ours, loaded]))
"""


@pytest.fixture
def compile_in_a_process(fresh_python, monkeypatch, tmp_path):
    """Return a function that compiles a kernel, which calls `function`, in a new process.

    It returns (for each text given to NVRTC, whether it is that of the kernel; digests of the loaded machine code,
    which a real driver does not show; names of files in CuPy's folder).
    """
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("CUPY_CACHE_IN_MEMORY", raising=False)
    stand_in = "" if cupy.cuda.is_available() else NO_DRIVER

    def run(function):
        done = fresh_python(COMPILED.format(stand_in=stand_in, function=function))
        assert done.returncode == 0, done.stderr
        return [*json.loads(done.stdout), {path.name for path in tmp_path.iterdir()}]

    return run


def test_kernel_is_compiled_once_for_all_processes(compile_in_a_process):
    """The second process loads the kernel from CuPy's cache without NVRTC; another kernel is compiled."""
    given, loaded, files = compile_in_a_process("expf")
    assert given == [True]
    assert len(files) == 1
    assert compile_in_a_process("expf") == [[], loaded, files]
    given, other, more = compile_in_a_process("logf")
    assert given == [True]
    assert files < more
    assert len(more) == 2
    assert other != loaded or cupy.cuda.is_available()
