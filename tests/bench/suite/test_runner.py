"""Runner of one benchmark case, with fake competitors: which are timed, which are not, and why."""

from contextlib import nullcontext

import pytest
from competitors import Competitor, Unsupported
from suite import fork_server, runner, timing
from suite.case import CaseEntry, Wrong, at_most
from suite.fork_server import Pool
from suite.timing import Rules
from suite.worker import Failed


class FakeCase:
    group, title, source, unit, curve = "xor", "a work", "random", "step", None
    n_units, most_runs, fewest_runs, done_once = 10, 100, 1, False

    def costs(self):
        return {"FLOP": 1.0}

    def thread_settings(self, cpus):
        return (1, 2)

    def check(self, competitor, answer):
        return at_most({"loss": answer}, {"loss": 0.1})


class FakeWorker:
    """A fake worker. seconds : of a run; answers : by command, in place of the usual ones."""

    open = 0

    def __init__(self, seconds, **answers):
        self.seconds, self.answers, self.commands = seconds, answers, []
        FakeWorker.open += 1

    def __call__(self, command, *arguments):
        self.commands.append(command)
        found = self.answers.get(command)
        if isinstance(found, Exception):
            raise found
        if found is not None:
            return found
        if command == "measure":
            return self.seconds * arguments[0]
        return {"prepare": 0.5, "verify": 0.01, "facts": {"peak_memory": 7, "products": "p", "notes": {}}}[command]

    def close(self):
        FakeWorker.open -= 1


class FakeForkServer:
    def __init__(self, competitors):
        self.competitors = competitors

    def wait(self):
        pass

    def close(self):
        pass

    def start(self, competitor, threads, most_cpus):
        return self.competitors[competitor](threads)


@pytest.fixture
def run_case(monkeypatch):
    """run_case({competitor: worker by threads}) -> result, rows by name"""
    monkeypatch.setattr(runner, "build", lambda name, quick: FakeCase())
    monkeypatch.setattr(runner, "others_busy", lambda: 0.25)
    monkeypatch.setattr(runner, "come_to_rest", lambda: None)
    monkeypatch.setattr(timing, "come_to_rest", lambda: None)
    monkeypatch.setattr(timing.PROCESSORS, "awake", lambda: nullcontext(False))
    monkeypatch.setattr(FakeWorker, "open", 0)
    pool = Pool("cpu")

    def run(competitors, rules=None):
        rules = rules or Rules(rounds=3, seconds=1.0)
        monkeypatch.setattr(fork_server, "ForkServer", lambda *_: FakeForkServer(competitors))
        entry = CaseEntry("w", "xor", tuple(competitors), lambda: None)
        result = runner.run_case(entry, competitors, rules, pool, lambda text: None)
        assert FakeWorker.open == 0, "every process was ended"
        pool._fork_servers.clear()
        return result, {row["name"]: row for row in result["rows"]}

    yield run
    pool.close()


def test_faster_number_of_threads_is_timed(run_case):
    result, rows = run_case({Competitor("numpy", "m"): lambda threads: FakeWorker({1: 0.3, 2: 0.1}[threads])})
    row = rows["numpy"]
    assert (row["threads"], row["status"], row["peak_memory"]) == (2, "timed", 7)
    assert row["seconds"] == pytest.approx([0.01] * 3)
    assert row["tried"] == pytest.approx({"1": 0.03, "2": 0.01})
    assert result["others_busy"] == 0.25
    assert result["slow_starts"] == 3, "each of three measurements started slowly"


def test_missing_wrong_and_failing_competitors_are_listed(run_case):
    absent = Competitor("keras jax", "m", needs=("no_such_module_anywhere",))
    wrong, broken, unable = (Competitor(name, "m") for name in ("jax", "torch", "sklearn"))
    _, rows = run_case(
        {
            absent: None,
            wrong: lambda threads: FakeWorker(0.1, verify=0.2),
            broken: lambda threads: FakeWorker(0.1, measure=Failed("it broke")),
            unable: lambda threads: FakeWorker(0.1, prepare=Unsupported("not for this loss")),
        }
    )
    assert {name: row["status"] for name, row in rows.items()} == {
        "keras jax": "missing",
        "jax": "wrong",
        "torch": "failed",
        "sklearn": "unsupported",
    }
    assert rows["keras jax"]["reason"] == "no_such_module_anywhere is not installed"
    assert rows["jax"]["reason"] == "loss off by 0.2 (at most 0.1)"
    assert all(row["seconds"] == [] for row in rows.values())


def test_limits_are_not_verified_and_quick_runs_omit_slow_starters(run_case):
    limit = Competitor("arithmetic", "m", kind="limit")
    slow = Competitor("torch compiled", "m", slow_start=True)
    workers = []

    def make(threads):
        workers.append(FakeWorker(0.1))
        return workers[-1]

    _, rows = run_case({limit: make, slow: None}, Rules(rounds=1, seconds=1.0, quick=True))
    assert rows["arithmetic"]["status"] == "timed"
    assert rows["torch compiled"]["status"] == "left out"
    assert len(workers) == 1, "a quick run tries one number of threads"
    assert "verify" not in workers[0].commands


def test_at_most_raises_above_the_tolerance_or_for_nan():
    assert at_most({"a": 1.0, "b": 5.0}, {"a": 1.0}) == {"a": 1.0, "b": 5.0}
    for value in (1.1, float("nan")):
        with pytest.raises(Wrong, match="a off by"):
            at_most({"a": value}, {"a": 1.0})
