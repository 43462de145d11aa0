"""Warm-up: the kernels of every family are compiled."""

import pytest

import fastmlp
from fastmlp import warmup
from fastmlp.execution.dispatch import choose_training
from fastmlp.kernels.cpu.backend import FAMILIES
from fastmlp.kernels.jit import object_cache


def test_nets_of_the_warm_up_are_of_all_families():
    nets = ((fastmlp.MLP(sizes, device="cpu"), batch) for sizes, _, batch in warmup.NETS)
    assert {choose_training(net.network, net.device, net.dtype, batch, "exact").family for net, batch in nets} == {
        *FAMILIES
    }


def test_processes_do_the_jobs(monkeypatch, tmp_path):
    monkeypatch.setattr(
        warmup, "PROGRAM", f"import sys; open({str(tmp_path)!r} + '/' + '-'.join(sys.argv[1:]), 'w').close()"
    )
    expected = [
        (name, str(i)) for name in ("nets float64", "populations float64") for i in range(len(warmup.JOBS[name]))
    ]
    steps = list(warmup.warm_up(dtypes=("float64",)))
    assert steps == [(i, len(expected)) for i in range(len(expected) + 1)]
    assert {path.name for path in tmp_path.iterdir()} == {"-".join(job) for job in expected}


def test_failure_of_a_process_is_reported(monkeypatch):
    monkeypatch.setattr(warmup, "PROGRAM", "raise SystemExit('no compiler')")
    with pytest.raises(RuntimeError, match="A process that compiles has failed: no compiler"):
        list(warmup.warm_up())


def test_command_says_where_the_kernels_are(monkeypatch, capsys):
    from fastmlp.commands import warmup as command

    monkeypatch.setattr(warmup, "PROGRAM", "")
    command.run(float64=False)
    assert f"are in {object_cache.cache_folder()}" in capsys.readouterr().out
    monkeypatch.setattr(object_cache, "is_usable", lambda: False)
    with pytest.raises(RuntimeError, match="Set NUMBA_CACHE_DIR"):
        command.run(float64=False)
