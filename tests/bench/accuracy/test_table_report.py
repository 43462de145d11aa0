"""The report of the tabular comparison: tables, ranks and a picture of what tables.py has measured."""

import json

import pytest
from accuracy.table_report import ELSEWHERE, MACHINE, MARKS, PAGE, RESULTS, cells_of, markdown, ranks
from accuracy.tables import LIBRARIES, check_machine, machine_entry
from tools.report import with_tables

FOUND = {"processor": "EPYC", "cpus": 2, "system": "Linux", "versions": dict.fromkeys((*LIBRARIES, "jax"), "1.2")}
ENTRY = machine_entry(FOUND, threads=2)


def run(figure, seconds):
    return {"figure": figure, "processor_seconds": seconds, "seconds": seconds, "version": "1"}


FIGURES = {
    "default/wine/0": run(0.70, 5.0),
    "default/wine/1": run(0.72, 7.0),
    "default/magic/0": run(0.88, 9.0),
    "lightgbm/wine/0": run(0.70, 1.0),
    "lightgbm/magic/0": run(0.88, 2.0),
    "catboost/magic/0": run(0.87, 3.0),
    MACHINE: ENTRY,
}


def test_cells_are_means_over_seeds():
    cell = cells_of(FIGURES).loc[("default", "wine")]
    assert [*cell] == [pytest.approx(0.71), pytest.approx(0.01), 6.0, 2, ""]


def test_ranks_are_by_rmse_or_accuracy_and_shared_by_equals():
    without_third = {key: value for key, value in FIGURES.items() if not key.startswith("catboost")}
    assert ranks(cells_of(without_third)).loc["wine"].to_dict() == {"default": 2.0, "lightgbm": 1.0}
    found = ranks(cells_of(FIGURES))
    assert found.loc["magic"].to_dict() == {"default": 1.5, "lightgbm": 1.5, "catboost": 3.0}
    assert [*found.index] == ["magic"], "the other set lacks a tool"


def test_tables_mark_the_best_and_figures_of_another_processor():
    lines = markdown(FIGURES | {"lightgbm/wine/0": run(0.70, 4.0) | {ELSEWHERE: "Xeon"}}).splitlines()
    assert lines[0] == "| set | good (default) | LightGBM | CatBoost |"
    assert "| magic, accuracy | **0.8800** | **0.8800** | 0.8700 |" in lines
    assert "| wine, RMSE \\* | 0.7100 | **0.7000** |  |" in lines
    assert "| mean rank on 1 sets | 1.5 | 1.5 | 3.0 |" in lines
    assert "Processor seconds of a fit with its prediction:" in lines
    assert "| wine | 6.0 | 4.0 † |  |" in lines
    told = "Measured on EPYC, with 2 threads; python 1.2, numpy 1.2, numba 1.2, scikit-learn 1.2. †: on Xeon."
    assert lines[-1].endswith(f"\\*: the set had no part in choosing defaults. {told}")


def test_figures_of_different_machines_are_not_put_into_one_file():
    check_machine({}, ENTRY)
    check_machine(FIGURES, ENTRY)
    other = {MACHINE: ENTRY | {"processor": "Xeon"}}
    check_machine(other, ENTRY, elsewhere=True)
    with pytest.raises(ValueError, match=r"figures of processor 'Xeon', .* with --elsewhere\.$"):
        check_machine(other, ENTRY)
    with pytest.raises(ValueError, match="has figures of threads 1"):
        check_machine({MACHINE: ENTRY | {"threads": 1}}, ENTRY, elsewhere=True)


def test_the_documentation_has_the_figures_that_were_measured():
    page = PAGE.read_text()
    assert page == with_tables(page, markdown(json.loads(RESULTS.read_text())), MARKS)
