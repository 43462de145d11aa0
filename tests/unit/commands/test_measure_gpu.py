"""`fastmlp devices --measure`: thresholds from invented times, and a real run on tiny sizes."""

from math import inf, sqrt

import pytest
from command_runs import run_command
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands import measure_gpu
from fastmlp.commands.cli import app
from fastmlp.commands.measure_gpu import Job, Row, crossing, seconds_to_start
from fastmlp.devices import resolve, work_for_gpu
from fastmlp.runtime.auto_device import ESTIMATED_WORK, known_work


def rows(*ratios):
    """Rows for steps of 1, 10, 100, ... multiply-adds. ratios : time of the GPU over that of the CPU."""
    return [Row(str(k), 10.0**k, 1.0, ratio) for k, ratio in enumerate(ratios)]


@pytest.mark.parametrize(
    "ratios, wanted",
    [
        ((0.5, 0.5), 1.0),
        ((4.0, 2.0), inf),
        ((0.1, 1.0), inf),
        ((2.0, 0.5), sqrt(10.0)),
        ((4.0, 0.5), 10 ** (2 / 3)),
        ((2.0, 0.5, 2.0, 0.5, 0.1), 10**2.5),
    ],
)
def test_crossing_is_interpolated_on_a_logarithmic_scale(ratios, wanted):
    """Between two sizes, by the logarithms of their ratios; of several crossings the last one counts."""
    assert crossing(rows(*ratios)) == pytest.approx(wanted)


@pytest.fixture
def threshold_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("fastmlp.runtime.auto_device.base_folder", lambda: tmp_path)
    known_work.cache_clear()
    yield
    known_work.cache_clear()


@pytest.fixture
def fake_times(monkeypatch):
    """Pretend a CPU of 1e9 multiply-adds a second, and a GPU that takes 10 microseconds for a step of one net, 2 for a
    step of a population, and 3 s to start.
    """
    job = lambda device, size, on_gpu: Job(str(size), size, 1, lambda epochs: size / 1e9 if device == "cpu" else on_gpu)
    monkeypatch.setattr(measure_gpu, "one_net", lambda device, size: job(device, size, 1e-5))
    monkeypatch.setattr(measure_gpu, "population", lambda device, size: job(device, size, 2e-6))
    monkeypatch.setattr(measure_gpu, "WIDTHS", (1000, 100_000))
    monkeypatch.setattr(measure_gpu, "NETS", (100, 10_000))
    monkeypatch.setattr(measure_gpu, "seconds_of_step", lambda job: job.fit(1))
    monkeypatch.setattr(measure_gpu, "seconds_to_start", {"cpu": 1.0, "cuda": 4.0}.get)
    monkeypatch.setattr("fastmlp.commands.measure_costs.measure_costs", lambda gpu: "costs")


def test_measured_thresholds_decide_auto(cuda, threshold_folder, fake_times):
    said = run_command("devices", "--measure")
    assert "100000 1.0e+05 100.0 10.0" in said, "a row for each size"
    assert "1e+04 at once, 2e+03 where nets train in one launch (measured here)" in said
    assert work_for_gpu(fastmlp.devices()[1])[:3] == pytest.approx((3e9, 1e4, 2e3))
    assert resolve("auto", 4e9, 1.1e4).name == "cuda"
    assert resolve("auto", 4e9, 0.9e4).name == "cpu"
    assert resolve("auto", 4e9, 0.9e4, in_one_launch=True).name == "cuda"


def test_unmeasurable_start_time_warns_and_the_rest_is_measured(cuda, threshold_folder, fake_times, monkeypatch):
    """A GPU that refuses a second process gets an estimated start time."""
    monkeypatch.setattr(measure_gpu, "seconds_to_start", seconds_to_start)
    monkeypatch.setattr(measure_gpu, "START", "import sys\nsys.exit('all devices are busy' * (sys.argv[1] == 'cuda'))")
    with pytest.warns(UserWarning, match=r"How long cuda takes to start was not measured.*\(all devices are busy\)\.$"):
        list(measure_gpu.measure("cuda"))
    found = work_for_gpu(fastmlp.devices()[1])
    assert found == (ESTIMATED_WORK.total, *map(pytest.approx, (1e4, 2e3)), "measured here")


@pytest.mark.full
def test_measured_times_are_plausible(cuda, threshold_folder, monkeypatch):
    sizes = {"WIDTHS": (2, 3), "NETS": (3, 130), "BATCH": 8, "BATCHES": 2, "SECONDS": 0.0}
    for name, value in sizes.items():
        monkeypatch.setattr(measure_gpu, name, value)
    monkeypatch.setattr(measure_gpu, "seconds_to_start", lambda device: 1.0)
    shown = list(measure_gpu.measure("cuda"))
    assert work_for_gpu(fastmlp.devices()[1]).total == 0.0
    assert [row.name for row in shown] == ["64-2-2-10", "64-3-3-10", "3 of 2-2-1", "130 of 2-2-1"]
    assert shown[-1].work == 130 * 4 * (3 * (4 + 2) - 4)
    assert all(0.0 < row.processor < 10.0 and 0.0 < row.gpu < 10.0 for row in shown)


@pytest.mark.full
def test_start_time_of_a_cpu_process_is_plausible():
    assert 0.1 < seconds_to_start("cpu") < 60.0


def test_ctrl_c_between_two_sizes_shows_the_finished_ones_and_keeps_none(
    cuda, threshold_folder, fake_times, monkeypatch, tmp_path
):
    def interrupted(device, size):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure_gpu, "population", interrupted)
    result = CliRunner().invoke(app, ["devices", "--measure"])
    assert (result.exit_code, result.stderr) == (130, "fastmlp: Interrupted.\n")
    assert "\n100000 " in result.stdout, "the larger one of single nets"
    assert not list(tmp_path.rglob("*.json"))
