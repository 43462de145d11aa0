# Steps that .ci/run and .ci/full share. Both source this file from the root of the repository, with `work` an empty folder.

unset PYTHONDONTWRITEBYTECODE # many tests start processes, which without byte code compile every module again

step() { # step NAME COMMAND...: run it, and print how many seconds it took
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@"
  echo "== $name: $((SECONDS - start)) s"
}

beside() { # beside COMMAND...: run it beside what follows, up to `end_beside`, which prints its output, and ends this script if it
  # has failed
  "$@" >"$work/beside" 2>&1 &
  beside_pid=$!
}

end_beside() {
  local status=0
  wait "$beside_pid" || status=$?
  cat "$work/beside"
  [ "$status" = 0 ]
}

test_command() { # the README's: the fenced block marked `bash test`
  awk '/^```bash test$/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md
}

build_site() { # build_site [PYTHON]: into $work/site, from nothing; a warning is an error
  rm -rf docs/generated
  "${1:-python}" -m sphinx -W --keep-going -q -b html -d "$work/doctrees" docs "$work/site"
}

use_distribution() { # use_distribution FILE OPTIONS...: in an environment of its own, in a folder without the repository;
  # OPTIONS are of uv's installer. Kernels that it uses are compiled again, since a new environment has a cache of its own
  local file=$1
  shift
  rm -rf "$work/other"
  uv venv -q --python "${python_of_user:-$(command -v python)}" "$work/other"
  uv pip install -q -p "$work/other" "$@" "$file"
  (
    cd "$work"
    export NUMBA_CACHE_DIR="$work/of_user"
    rm -rf "$NUMBA_CACHE_DIR"
    other/bin/python "$root/tools/try_installed.py"
    other/bin/fastmlp xor
    other/bin/fastmlp devices
  )
}

use_extras() { # use every extra of the wheel that use_distribution has installed, with the oldest versions of its requirements
  local other=$work/other/bin/python
  (cd "$work" && "$other" "$root/tools/try_extras.py" --requirements) >"$work/requirements"
  uv pip install -q -p "$work/other" --resolution lowest-direct -r "$work/requirements"
  (cd "$work" && NUMBA_CACHE_DIR="$work/of_user" "$other" "$root/tools/try_extras.py")
}

use_machine_code() { # the wheel that use_distribution has installed trains nets of two families without a compiler
  (
    cd "$work"
    NUMBA_CACHE_DIR="$work/nothing" other/bin/python "$root/tools/try_installed.py" --machine-code
    other/bin/fastmlp reproduce xor-quickprop
  )
}

cupy_without_driver() { # cupy_without_driver EXTRA: the wheel with CuPy, whose NVRTC compiles every kind of CUDA kernel
  local extra=$1
  touch "$work/pytest.ini"
  python -m venv "$work/$extra"
  "$work/$extra/bin/pip" install -q "$(echo "$dist"/*none-any.whl)[$extra]" pytest
  (
    cd "$work"
    "$extra/bin/fastmlp" devices
    "$extra/bin/python" -m pytest -q -c pytest.ini --import-mode=importlib "$root/tests/cuda/test_devices_cupy.py"
  )
  rm -rf "${work:?}/$extra"
}
