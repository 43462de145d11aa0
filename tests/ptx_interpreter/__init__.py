"""PTX interpreter: runs what NVRTC makes of CUDA kernels, without a GPU, on arrays with an element per thread.

It takes the place of g++ in the emulator of CuPy (tests/cuda_emulator), on request:

    pytest --device ptx tests/unit/kernels/cuda/test_training.py
    with ptx_interpreter.running(counters): ...                  inside cuda_emulator.installed()

Unlike g++ it runs the compiler's own output, with its contractions, approximate functions, flushed denormals, and
refuses misaligned accesses, accesses outside of arrays, and shuffles from absent lanes. Threads
run in lockstep, those of some blocks together (LANES_AT_ONCE), so that lost updates among them show. It counts warp
instructions and wavefronts of shared memory.

It hides: what ptxas makes of PTX (registers, scheduling); the order of memory accesses between blocks and without
barriers; the errors of approximate functions, which are rounded correctly here;
everything of the driver, of cuBLAS and of CUDA graphs, which is emulated as before; and time.

    program.py       what a kernel consists of
    parser.py        PTX text to instructions
    arithmetic.py    opcodes that compute, as a table of functions of NumPy arrays
    memory.py        opcodes that access memory, or other lanes
    machine.py       registers, branches, barriers
    counters.py      warp instructions, wavefronts
    modules.py       NVRTC, and the launches of the emulator
"""

from .counters import Counters as Counters
from .modules import load as load
from .modules import running as running
from .program import PtxError as PtxError
