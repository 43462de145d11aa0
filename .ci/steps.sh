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

build_wheel() { # build_wheel [--quick]: into $work/dist, with machine code
  python tools/ship.py "$@"
  python -m build --wheel --outdir "$work/dist" .
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
