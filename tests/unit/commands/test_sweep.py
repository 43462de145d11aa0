"""`fastmlp sweep`: the best net is saved as `fastmlp train` saves one; Ctrl-C keeps what is known; mistakes."""

import io
import re
import signal

import numpy as np
import pytest
import typer
from executor_cases import InPlace
from rich.console import Console
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands import sweep as sweep_job
from fastmlp.commands.cli import app
from fastmlp.sweeps.search import Search

pd = pytest.importorskip("pandas")


@pytest.fixture
def table(tmp_path, rng):
    x = rng.normal(size=(120, 2))
    kinds = ["A" if a > 0 else "B" for a in x[:, 0]]
    path = tmp_path / "things.csv"
    pd.DataFrame({"size": x[:, 0], "age": x[:, 1], "price": x[:, 0] - x[:, 1] ** 2, "kind": kinds}).to_csv(
        path, index=False
    )
    return path


@pytest.fixture(autouse=True)
def small_space(monkeypatch):
    """One small net, of which only the learning rate and the weight decay differ."""
    space = sweep_job.search_space

    def small(*given):
        return space(*given) | {"hidden_layer_sizes": [(8,)], "dropout": [0.0], "batch_size": [32]}

    monkeypatch.setattr(sweep_job, "search_space", small)


@pytest.fixture
def sweep(table, tmp_path):
    """A function that runs the command on the table, with m.safetensors beside it as output."""

    def run(*options):
        output = str(tmp_path / "m.safetensors")
        arguments = ["sweep", str(table), "--output", output, "--epochs", "8", "--device", "cpu", *map(str, options)]
        return CliRunner().invoke(app, arguments)

    return run


@pytest.mark.parametrize("target", ["kind", "price"])
def test_nets_of_the_search_have_the_settings_of_the_net_that_is_trained(target, sweep, tmp_path, monkeypatch):
    searched, begin = [], sweep_job.Search.__init__

    def noted(self, X, y, space, *others):
        searched.append(space)
        begin(self, X, y, space, *others)

    monkeypatch.setattr(sweep_job.Search, "__init__", noted)
    assert sweep("--target", target, "--n", 2).exit_code == 0
    net, (space,) = fastmlp.load(tmp_path / "m.safetensors").net_, searched
    found = net.get_settings()
    assert found["hidden_activation"] == [space["hidden_activation"]]
    assert (found["label_smoothing"], found["loss"]) == (space["label_smoothing"], space["loss"])
    assert net.init == space["init"]
    assert (net.history.settings["schedule"], space["optimizer"]) == (space["schedule"], "adamw")


@pytest.mark.parametrize("target, scoring", [("kind", "accuracy"), ("price", "-loss")])
def test_the_best_net_is_saved_with_its_preprocessing(target, scoring, sweep, table, tmp_path):
    result = sweep("--target", target, "--n", 3, "--drop", "age")
    assert result.exit_code == 0, result.output
    assert f"Best {scoring} of 3 settings" in " ".join(result.output.split())
    model = fastmlp.load(tmp_path / "m.safetensors")
    assert len(model.predict(pd.read_csv(table))) == 120
    assert model.net_.network.layer_sizes[1:-1] == (8,)
    optimizer = model.net_.history.settings["optimizer"]
    best = result.output.split("learning_rate ")[1].split(",")[0]  # the first row of the table
    assert f"{float(re.search('learning_rate=([^,]+)', optimizer)[1]):.3g}" == best
    assert "weight_decay=0.0," not in optimizer


@pytest.mark.slow
def test_an_executor_finds_the_same_net(sweep, monkeypatch, tmp_path):
    sweep("--target", "kind", "--n", 3)
    expected = fastmlp.load(tmp_path / "m.safetensors").net_.params
    executor = InPlace()
    monkeypatch.setattr(sweep_job, "_dask_client", lambda address: _Context(executor))
    assert sweep("--target", "kind", "--n", 3, "--dask", "tcp://here").exit_code == 0
    assert executor.n_submitted > 0
    assert (fastmlp.load(tmp_path / "m.safetensors").net_.params == expected).all()


class _Context:
    def __init__(self, value):
        self.value = value

    def __enter__(self):
        return self.value

    def __exit__(self, *_):
        pass


@pytest.mark.slow
def test_a_terminal_shows_the_best_settings_while_they_are_found(sweep, monkeypatch):
    space, table_of, titles = sweep_job.search_space, sweep_job.best_table, []
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, record=True)

    def noted(search):
        made = table_of(search)
        titles.append(made.title)
        return made

    monkeypatch.setattr(sweep_job, "search_space", lambda *given: space(*given) | {"hidden_layer_sizes": [(8,), (9,)]})
    monkeypatch.setattr(sweep_job, "best_table", noted)
    monkeypatch.setattr("fastmlp.commands.sweep_options.console", lambda: screen)
    result = sweep("--target", "kind", "--n", 6)
    assert result.exit_code == 0, result.output
    n_finished = [int(title.split()[0]) for title in titles]
    assert n_finished == sorted(n_finished)
    assert (n_finished[0], n_finished[-1]) == (0, 6)
    assert set(n_finished) - {0, 6}, "after the first population"
    before, _, after = screen.export_text().partition("Best accuracy of 6 settings")
    assert "6 of 6 settings" in before
    assert before.count("learning_rate") >= 6, "a row for each"
    assert "Saved to" in after


def test_ctrl_c_saves_the_net_of_the_best_settings_so_far(sweep, monkeypatch, tmp_path):
    space = sweep_job.search_space
    monkeypatch.setattr(sweep_job, "search_space", lambda *given: space(*given) | {"hidden_layer_sizes": [(8,), (9,)]})
    train = Search._train

    def train_one_group(self, group, *others):
        if self._is_finished.any():
            signal.raise_signal(signal.SIGINT)
        train(self, group, *others)

    earlier = tmp_path / "m.safetensors"
    fastmlp.MLP((2, 3, 1), random_state=0).save(earlier)
    before = earlier.read_bytes()
    monkeypatch.setattr(Search, "_train", train_one_group)
    result = sweep("--target", "kind", "--n", 6)
    assert result.exit_code == 130
    assert "of 6 settings; the net with the best of them is in" in result.output
    assert earlier.read_bytes() == before
    assert fastmlp.load(tmp_path / "m.safetensors.interrupted").net_.history.epochs == 8


@pytest.mark.slow
def test_an_interrupted_search_goes_on_from_its_checkpoint(sweep, monkeypatch, tmp_path):
    space = sweep_job.search_space
    monkeypatch.setattr(sweep_job, "search_space", lambda *given: space(*given) | {"hidden_layer_sizes": [(8,), (9,)]})
    assert sweep("--target", "kind", "--n", 6).exit_code == 0
    expected = fastmlp.load(tmp_path / "m.safetensors").net_.params
    train, keep = Search._train, ["--checkpoint", tmp_path / "search.ckpt"]

    def train_one_group(self, group, *others):
        if self._is_finished.any():
            signal.raise_signal(signal.SIGINT)
        train(self, group, *others)

    monkeypatch.setattr(Search, "_train", train_one_group)
    assert sweep("--target", "kind", "--n", 6, *keep).exit_code == 130
    monkeypatch.setattr(Search, "_train", train)
    result = sweep("--target", "kind", "--n", 6, *keep, "--resume")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "m.safetensors").net_.params, expected)
    assert "--resume needs --checkpoint FILE" in sweep("--target", "kind", "--n", 2, "--resume").output


@pytest.mark.slow
def test_divergence_names_options_that_the_command_has(sweep, monkeypatch, tmp_path):
    train = sweep_job.train_prepared

    def diverged(model, *others):
        nets = train(model, *others)
        model.history.stopped_by = "divergence"
        return nets

    monkeypatch.setattr(sweep_job, "train_prepared", diverged)
    result = sweep("--target", "kind", "--n", 2)
    assert result.exit_code == 1
    message = " ".join(result.output.split())
    assert "The loss stopped being finite after" in message
    assert not (tmp_path / "m.safetensors").exists()
    assert (tmp_path / "m.safetensors.diverged").exists()
    _, _, remedy = message.partition("stopped being finite")
    command = typer.main.get_command(app).commands["sweep"]
    named = set(re.findall(r"--[a-z-]+", remedy))
    assert named
    assert named <= {name for parameter in command.params for name in parameter.opts}


def test_ctrl_c_before_the_first_score_leaves_the_output(sweep, monkeypatch, tmp_path):
    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Search, "_train", interrupt)
    result = sweep("--target", "kind", "--n", 2)
    assert result.exit_code == 130
    assert "before the first settings were scored" in result.output
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--target", "kid"], "Did you mean 'kind'?"),
        (["--target", "kind", "--workers", 2, "--dask", "tcp://x"], "not both"),
        (["--target", "kind", "--n", 0], "a whole number from 1"),
        (["--target", "kind", "--checkpoint", "m.safetensors.interrupted"], "must be two files"),
    ],
)
def test_mistakes(options, message, sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = sweep(*options)
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.output.split())


@pytest.mark.full
def test_processes_find_the_same_net(sweep, tmp_path):
    sweep("--target", "kind", "--n", 3)
    expected = fastmlp.load(tmp_path / "m.safetensors").net_.params
    assert sweep("--target", "kind", "--n", 3, "--workers", 2).exit_code == 0
    assert (fastmlp.load(tmp_path / "m.safetensors").net_.params == expected).all()


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_does_not_answer_is_a_sentence(sweep, monkeypatch):
    pytest.importorskip("distributed", reason="--dask is tested")
    monkeypatch.setattr(sweep_job, "CONNECT_SECONDS", 1)
    result = sweep("--target", "kind", "--dask", "tcp://127.0.0.1:9")
    assert result.exit_code == 1
    assert "does not answer" in result.output


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_finds_the_same_net(sweep, tmp_path):
    distributed = pytest.importorskip("distributed", reason="--dask is tested")
    sweep("--target", "kind", "--n", 3)
    expected = fastmlp.load(tmp_path / "m.safetensors").net_.params
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        result = sweep("--target", "kind", "--n", 3, "--dask", cluster.scheduler_address)
        tasks = {str(entry[0]) for entry in cluster.scheduler.transition_log}
    assert result.exit_code == 0, result.output
    assert any(task.startswith("fastmlp-") for task in tasks)
    assert (fastmlp.load(tmp_path / "m.safetensors").net_.params == expected).all()
