"""The report of the tabular comparison: tables, ranks and a picture of what tables.py has measured."""

import json

import pytest
from accuracy.table_report import MARKS, PAGE, PICTURE, RESULTS, cells_of, markdown, picture, ranks
from accuracy.table_results import COUNTED, ELSEWHERE, LIBRARIES, MACHINE, check_machine, machine_entry
from tools.report import with_tables


def run(figure, seconds):
    return {"figure": figure, "processor_seconds": seconds, "seconds": seconds, "version": "1"}


FIGURES = {
    "default/wine/0": run(0.70, 5.0),
    "default/wine/1": run(0.72, 7.0),
    "default/magic/0": run(0.88, 9.0),
    "lightgbm/wine/0": run(0.70, 1.0),
    "lightgbm/magic/0": run(0.88, 2.0),
    "catboost/magic/0": run(0.87, 3.0),
}


def test_cells_are_means_over_seeds():
    cells = cells_of(FIGURES)
    assert cells["default", "wine"] == (pytest.approx(0.71), pytest.approx(0.01), 6.0, 2, "")
    assert cells["catboost", "magic"].n_seeds == 1


def test_ranks_are_by_rmse_or_accuracy_and_shared_by_equals():
    cells = cells_of(FIGURES)
    assert ranks(cells, ["default", "lightgbm"], ["wine"]) == {"default": 2.0, "lightgbm": 1.0}
    assert ranks(cells, ["default", "lightgbm", "catboost"], ["magic"]) == {
        "default": 1.5,
        "lightgbm": 1.5,
        "catboost": 3.0,
    }


def test_the_best_figure_is_bold_and_what_was_not_run_is_empty():
    lines = markdown(FIGURES).splitlines()
    assert lines[0] == "| set | good (default) | LightGBM | CatBoost |"
    assert "| magic, accuracy | **0.8800** | **0.8800** | 0.8700 |" in lines
    assert "| wine, RMSE \\* | 0.7100 | **0.7000** |  |" in lines
    assert "| mean rank on 1 sets | 1.5 | 1.5 | 3.0 |" in lines


def test_the_machine_and_what_the_seconds_are_of_are_told():
    found = {"processor": "EPYC", "cpus": 2, "system": "Linux", "versions": dict.fromkeys((*LIBRARIES, "jax"), "1.2")}
    entry = machine_entry(found, threads=2)
    text = markdown({**FIGURES, MACHINE: entry})
    told = "Measured on EPYC, with 2 threads; python 1.2, numpy 1.2, numba 1.2, scikit-learn 1.2."
    assert text.endswith(f"\\*: the set had no part in choosing defaults. {told}")
    assert "\nProcessor seconds of a fit with its prediction:\n" in text
    before = markdown(FIGURES)  # by the script that did not write the entry
    assert "Measured on" not in before
    assert "\nProcessor seconds of a fit with its prediction, and of the import of its package:\n" in before
    assert cells_of({**FIGURES, MACHINE: entry}) == cells_of(FIGURES)


def test_figures_of_different_machines_are_not_put_into_one_file():
    entry = {"processor": "EPYC", "threads": 2, "counted": COUNTED}
    check_machine({}, entry)
    check_machine({**FIGURES, MACHINE: entry}, entry)
    for results, words in (
        (FIGURES, "has figures of a machine that it does not name"),
        ({MACHINE: entry | {"processor": "Xeon"}}, "of Xeon with 2 threads.* or mark the new figures with --elsewhere"),
        ({MACHINE: entry | {"threads": 1}}, "has figures of EPYC with 1 thread"),
    ):
        with pytest.raises(ValueError, match=words):
            check_machine(results, entry)


def test_figures_of_another_processor_are_marked():
    """Their seconds, since accuracy does not depend on the processor."""
    entry = {"processor": "EPYC", "threads": 2, "counted": COUNTED}
    check_machine({MACHINE: entry | {"processor": "Xeon"}}, entry, elsewhere=True)
    with pytest.raises(ValueError, match=r"has figures of EPYC with 1 thread,.* with --results\.$"):
        check_machine({MACHINE: entry | {"threads": 1}}, entry, elsewhere=True)
    lines = markdown({**FIGURES, "catboost/wine/0": run(0.71, 4.0) | {ELSEWHERE: "Xeon"}}).splitlines()
    assert "| wine, RMSE \\* | 0.7100 | **0.7000** | 0.7100 |" in lines
    assert "| wine | 6.0 | 1.0 | 4.0 † |" in lines
    assert lines[-1].endswith(" †: on Xeon.")


def test_the_picture_names_sets_and_tools():
    text = picture(FIGURES)
    assert text.startswith("<svg")
    assert all(name in text for name in ("wine, RMSE", "magic, accuracy", "CatBoost", "processor seconds"))
    assert picture(FIGURES) == text, "the same figures give the same picture"


def test_the_documentation_has_the_figures_that_were_measured():
    results = json.loads(RESULTS.read_text())
    page = PAGE.read_text()
    assert page == with_tables(page, markdown(results), MARKS), "run python bench/accuracy/table_report.py"
    assert PICTURE.exists()
