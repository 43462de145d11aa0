# Steps that .ci/run and .ci/full share. Both source this file from the root of the repository, with `work` an empty folder.

unset PYTHONDONTWRITEBYTECODE # many tests start processes, which without byte code compile every module again

step() { # step NAME COMMAND...: run it, and print how many seconds it took
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@"
  echo "== $name: $((SECONDS - start)) s"
}

test_command() { # the README's: the fenced block marked `bash test`
  awk '/^```bash test$/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md
}

build_site() { # into $work/site, from nothing; a warning is an error
  rm -rf docs/generated
  python -m sphinx -W --keep-going -q -b html -d "$work/doctrees" docs "$work/site"
}

build_wheel() { # into $work/dist, with machine code
  python tools/ship.py
  python -m build -q --wheel --outdir "$work/dist" .
}

use_wheel() { # the wheel of $work/dist in an environment of its own, in a folder without the repository; kernels that it
  # uses are compiled again, since an environment has a Numba of its own
  python -m venv "$work/other"
  uv pip install -q -p "$work/other" "$work"/dist/*.whl
  (
    cd "$work"
    other/bin/python - <<'PY'
import fastmlp.kernels.cpu.single_net.layerwise, pathlib, sys
assert pathlib.Path(fastmlp.__file__).is_relative_to(sys.prefix), fastmlp.__file__
net = fastmlp.MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
net.fit(X, y, epochs=1000, optimizer="rprop")
assert net.evaluate(X, y)["accuracy"] == 1.0
net.save("xor.safetensors")
assert (fastmlp.load("xor.safetensors").predict(X) == net.predict(X)).all()
PY
    other/bin/fastmlp xor
    other/bin/fastmlp devices
  )
}

use_machine_code() { # with an empty cache, the wheel of use_wheel trains nets of two families without a compiler
  (
    cd "$work"
    NUMBA_CACHE_DIR="$work/nothing" other/bin/python - <<'PY'
import fastmlp, numpy as np, sys
from fastmlp.kernels.jit import cpu_features
X, y = np.random.default_rng(0).normal(size=(400, 64)), np.arange(400) % 10
for hidden in ((64, 32), (512, 512)):
    net = fastmlp.MLP((64, *hidden, 10), loss="softmax_cross_entropy", random_state=0)
    net.fit(X, y, epochs=1, batch_size=200, verbose=0)
    net.predict(X)
compiled = "numba" in sys.modules
print(f"{cpu_features.level()}: first training {'compiled' if compiled else 'without a compiler'}")
assert compiled == (cpu_features.level() is None), "the wheel's machine code was not used"
X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
pop = fastmlp.Population((2, 2, 1), 100, hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
assert 0.2 < pop.fit(X, y, epochs=500, optimizer="rprop", converged="40-20-40").success_rate < 0.9
PY
    other/bin/fastmlp reproduce xor-quickprop
  )
}

cupy_without_driver() { # cupy_without_driver EXTRA: the wheel with CuPy, whose NVRTC compiles every kind of CUDA kernel
  local extra=$1
  touch "$work/pytest.ini"
  python -m venv "$work/$extra"
  "$work/$extra/bin/pip" install -q "$(echo "$work"/dist/*.whl)[$extra]" pytest
  (
    cd "$work"
    "$extra/bin/fastmlp" devices
    "$extra/bin/python" -m pytest -q -c pytest.ini --import-mode=importlib "$root/tests/cuda/test_devices_cupy.py"
  )
  rm -rf "${work:?}/$extra"
}
