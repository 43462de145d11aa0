"""Examples of the README: the Python code runs, in order, in one session, and CI uses the same set-up commands."""

import re
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_readme_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {}
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(block, scope)
    assert "[0.01 0.99 0.99 0.01]" in capsys.readouterr().out


def test_readme_tables_name_every_option():
    from fastmlp.initialization import INITIALIZERS
    from fastmlp.kernels.formulas.activations import ACTIVATIONS
    from fastmlp.kernels.formulas.losses import LOSSES
    from fastmlp.optimizers import OPTIMIZERS
    from fastmlp.schedules import SCHEDULES

    rows = {row.split("|")[1].strip(): row.split("|")[2] for row in README.splitlines() if row.startswith("| ")}
    words = {name: re.findall(r"\w+", text) for name, text in rows.items()}
    assert {row.name for row in ACTIVATIONS if row.hidden} <= set(words["activations"])
    assert {row.name for row in LOSSES} == set(words["losses"])
    assert {cls.__name__ for cls in OPTIMIZERS.values()} <= set(words["optimisers"])
    assert set(INITIALIZERS) <= set(words["initialisers"])
    assert set(SCHEDULES) <= set(words["schedules"])


def test_readme_has_commands_to_run_and_test():
    commands = re.findall(r"^```bash (run|test)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert [name for name, _ in commands] == ["run", "test"]
    assert "fastmlp xor" in commands[0][1]
    assert "pytest" in commands[1][1]


def test_readme_states_whether_a_gpu_was_measured():
    """The README says that no GPU was measured if and only if there are no results of bench/gpu/run.py."""
    measured = list((Path(__file__).parents[2] / "bench" / "results").glob("gpu*.json"))
    assert ("not yet measured on a card" in " ".join(README.split())) != bool(measured)
