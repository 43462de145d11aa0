"""Table of benchmark cases: groups are complete, and checks refuse wrong results."""

import numpy as np
import pytest
from competitors import TRAINING, Unsupported, programs, script_process
from reporting.result_statistics import GROUPS
from suite import case_lookup, reference
from suite.case import Wrong

COMPETITOR = TRAINING[0]


def test_every_group_has_cases_and_a_quick_case():
    groups = {entry.group for entry in case_lookup.ENTRIES}
    assert groups == set(GROUPS) - {"kernels"}, "of earlier results"
    assert {entry.group for entry in case_lookup.ENTRIES if entry.in_quick} == groups - {"scaling"}


def test_every_case_has_fastmlp_once():
    for entry in case_lookup.ENTRIES:
        assert [competitor.kind for competitor in entry.competitors].count("ours") == 1, entry.name
        assert len({competitor.name for competitor in entry.competitors}) == len(entry.competitors), entry.name


@pytest.fixture(scope="module", params=["digits32", "2-2-1_sigmoid_adam_100000"])
def trained(request):
    """A case, what the reference reaches, and the loss there."""
    case = case_lookup.build(request.param)
    params, part = case.expected(), case.verification
    return case, params, None if case.n_nets else reference.loss(part, params, part.X, part.y_matrix)


def test_correct_training_passes_the_check(trained):
    case, params, loss = trained
    assert max(case.check(COMPETITOR, (params.astype(np.float32), loss)).values()) < 1e-5


def test_wrong_training_fails_the_check(trained):
    case, params, loss = trained
    start = case.start[: len(params)].astype(np.float64) if case.n_nets else case.start
    one_net = params.copy()
    one_net[-1] += 0.1  # a parameter, or those of the last net
    for others in (start, start - 0.3 * (params - start), one_net):
        with pytest.raises(Wrong, match="parameters off by"):
            case.check(COMPETITOR, (others, loss))
    if loss is not None:
        with pytest.raises(Wrong, match="loss off by"):
            case.check(COMPETITOR, (params, 1.001 * loss))


def test_multiply_adds_of_a_population_worked_by_hand():
    """For 2-2-1: 48 in products, 132 in 12 sigmoids with derivatives, 9 and 8 in updates."""
    assert case_lookup.build("2-2-1_sigmoid_sgd_1000").multiply_adds == 197
    assert case_lookup.build("2-2-1_sigmoid_adam_100000").multiply_adds == 197 + 9 * 9


def test_prediction_check_accepts_expected_and_refuses_wrong_values():
    case = case_lookup.build("digits_one_row")
    assert case.expected.shape == (1, 10)
    assert case.expected.sum() == pytest.approx(1.0)
    with pytest.raises(Wrong):
        case.check(COMPETITOR, case.expected + 0.001)


SCRIPTS = {
    "first_net": ("fastmlp", "fastmlp, wheel", "numpy", "jax", "torch", "sklearn", "keras jax"),
    "first_fit_population": ("fastmlp", "jax", "torch"),
    "first_fit_estimator": ("fastmlp", "sklearn"),
}


@pytest.mark.filterwarnings("ignore")  # each library has its own
@pytest.mark.parametrize("name, program", [(name, one) for name, programs in SCRIPTS.items() for one in programs])
def test_scripts_reach_the_loss(name, program, monkeypatch, capsys):
    """In this process, where nothing is compiled that is on disk."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    competitor = programs("competitors.script_process", program)[0]
    if competitor.missing:
        pytest.skip(competitor.missing)
    case = case_lookup.build(name)
    source, _ = case.script(program)
    exec(source, {"__name__": "script"})
    loss = float(capsys.readouterr().out)
    case.check(competitor, loss)
    with pytest.raises(Wrong):
        case.check(competitor, loss + 4.0)


def test_process_is_timed_from_its_start_to_its_end():
    process, case = script_process.Implementation("import numpy"), case_lookup.build("import")
    process.prepare(case, None)
    process.run(1)
    assert case.check(COMPETITOR, process.answer(case)) == {}
    assert process.peak_memory() > 2**20
    process.close()


def test_wheel_that_nobody_has_built_is_no_row(monkeypatch, tmp_path):
    monkeypatch.setattr(script_process, "DIST", tmp_path)
    with pytest.raises(Unsupported, match="no wheel with machine code"):
        script_process.Implementation("fastmlp, wheel").prepare(case_lookup.build("first_fit_tiny"), None)
