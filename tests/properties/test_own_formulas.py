"""Activations and losses of a user: in every kernel family and place as the float64 reference computes them."""

import pickle
import subprocess
import sys

import kernel_families
import numpy as np
import own_formulas
import pytest
from cuda_cases import PLACES, Place, assert_follows
from exported_outputs import c_outputs
from net_cases import assert_same_gradient, net_and_reference
from own_formulas import ACTIVATIONS, CUBE, GAUSS, LOG_COSH, LOGISH, LOSSES, PINBALL, PINBALL_FUNCTIONS, STEEP
from scipy.special import expit, ndtr

import fastmlp
import fastmlp.kernels.formulas.activations
from fastmlp import MLP, SGD, Activation, Adam, Loss, Population, Rprop

X = np.random.default_rng(0).normal(size=(14, 3))
Y = np.random.default_rng(1).uniform(size=(14, 2))


@pytest.fixture(autouse=True)
def reference_knows_them(monkeypatch):
    own_formulas.add_to_reference(monkeypatch)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", kernel_families.FAMILIES)
def test_gradients_match_the_reference(family, dtype, monkeypatch, rng):
    kernel_families.use(family, monkeypatch)
    n = kernel_families.rows_for(family, 21)
    for hidden in ACTIVATIONS:
        for loss, output in ((LOG_COSH, GAUSS), (PINBALL, "tanh"), ("huber", STEEP)):
            for k in (1, 3, 17):
                net, reference = net_and_reference((4, 7, 5, k), [hidden, "relu"], loss, output, dtype)
                X, y = rng.normal(size=(n, 4)), rng.normal(size=(n, k))
                assert_same_gradient(net, reference, X, y, dtype, (hidden, loss, k))


@pytest.mark.parametrize("n_nets", [None, 3, 40])
@pytest.mark.parametrize("hidden", ACTIVATIONS, ids=lambda own: own.name)
def test_training_matches_the_reference(n_nets, hidden, threads):
    """Batches of one sample, of some and of all; small nets have unrolled code."""
    for sizes, loss, batch_size in (((3, 2, 2), LOG_COSH, 4), ((3, 6, 4, 2), PINBALL, 1), ((3, 40, 2), LOG_COSH, None)):
        for optimizer in (SGD(0.1), Adam(0.02)):
            settings = {"hidden_activation": hidden, "loss": loss, "dtype": "float64", "random_state": 1}
            nets = Population(sizes, n_nets, **settings) if n_nets else MLP(sizes, **settings)
            assert_follows(nets, X, Y, optimizer=optimizer, epochs=3, batch_size=batch_size)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda own: own.name)
@pytest.mark.parametrize("place", PLACES)
def test_training_on_cuda_matches_the_reference(cuda, place, loss, monkeypatch):
    where, n_nets = Place(place, monkeypatch), {"layers": None, "thread": 131}.get(place, 3)
    for hidden in (GAUSS, LOGISH):
        settings = {"hidden_activation": hidden, "loss": loss, "random_state": 1, "device": "cuda"}
        nets = Population((3, 5, 2), n_nets, **settings) if n_nets else MLP((3, 5, 2), **settings)
        assert_follows(nets, X, Y, optimizer=Adam(0.02), epochs=3, batch_size=4)
    where.check()


def test_formulas_of_built_in_rows_give_their_bits():
    """Whatever the table has: written with NumPy's functions, an own formula is compiled to the same code."""
    twins = {
        "tanh": Activation("tanh_2", np.tanh, lambda a: 1.0 - a * a, low=-1.0, high=1.0),
        "sigmoid": Activation("sigmoid_2", expit, lambda a: a * (1.0 - a), low=0.0, high=1.0),
        "softplus": Activation("softplus_2", lambda z: np.logaddexp(0.0, z), lambda z: expit(z), low=0.0),
        "relu": Activation("relu_2", lambda z: (z > 0.0) * z, lambda a: a > 0.0, low=0.0),
        "leaky_relu": Activation(
            "leaky_relu_2", lambda z: np.where(z < 0.0, 0.01 * z, z), lambda a: np.where(a > 0.0, 1.0, 0.01)
        ),
    }
    squared = Loss("squared_2", lambda a, y: (a - y) ** 2, lambda a, y: 2.0 * (a - y))
    for name, twin in twins.items():
        params = []
        for hidden, loss in ((name, "squared_error"), (twin, squared)):
            net = MLP((3, 5, 2), hidden_activation=hidden, loss=loss, init="glorot_uniform", random_state=0)
            net.fit(X, Y, epochs=20, verbose=0)
            params.append(net.params)
        np.testing.assert_array_equal(*params)


def test_all_functions_of_formulas():
    """Each gives what it gives in NumPy."""
    formulas = {
        "exp": lambda z: np.exp(-np.abs(z)),
        "expm1": lambda z: np.expm1(-np.square(z)),
        "log": lambda z: np.log(1.5 + z * z),
        "log1p": lambda z: np.log1p(z * z) + np.log1p(-0.5 * expit(z)),
        "sqrt": lambda z: np.sqrt(z * z + 1.0) - (2.0 + abs(z)) ** 0.5,
        "extremes": lambda z: np.maximum(z, 0.1) * np.minimum(0.3, -z),
        "ndtr": lambda z: z * ndtr(z),
        "powers": lambda z: 1e-3 * z**5 + (z * z + 1.0) ** -2 + np.power(z, 2),
        "masks": lambda z: (z > 0.5) * z + np.where(z <= -0.5, -z, 2.0) - (+z >= 0.0) + np.float64(0.5) * z,
    }
    x = np.linspace(-4.1, 4.0, 500)[:, None]
    for name, function in formulas.items():
        net = MLP((1, 1), output_activation=numerical(name, function), loss=LOG_COSH, dtype="float64")
        net.params[:] = [1.0, 0.0]
        np.testing.assert_allclose(net.predict(x), function(x), rtol=1e-12, atol=1e-12, err_msg=name)


def numerical(name, function):
    """Return an activation with a derivative by its central differences, which are formulas, too."""
    return Activation(name, function, lambda z: (function(z + 1e-5) - function(z - 1e-5)) / 2e-5)


PARTS = {
    "Activation": lambda name="own", value=np.tanh, derivative=lambda a: 1 - a * a, **bounds: Activation(
        name, value, derivative, **bounds
    ),
    "Loss": lambda name="own", value=lambda a, y: (a - y) ** 2, derivative=lambda a, y: 2 * (a - y), **more: Loss(
        name, value, derivative, **more
    ),
}


@pytest.mark.parametrize(
    "kind, arguments, message",
    [
        ("Activation", {"derivative": lambda a: 1 - a}, "derivative of Activation 'own' is 2 at z = -8, where"),
        ("Activation", {"derivative": lambda z: 1.0}, "derivative of Activation 'own' is 1 at z = -8"),
        ("Activation", {"derivative": np.tanh}, "a function with the parameter `a`, the output, or `z`"),
        ("Activation", {"derivative": lambda x: x}, "a function with the parameter `a`, the output, or `z`"),
        ("Activation", {"value": 3}, "must be a function, but it is 3"),
        ("Activation", {"value": np.sin}, "it calls sin. A formula is made of"),
        ("Activation", {"value": lambda z: z if z > 0 else 0.0}, r"branches on a number \(use np.where"),
        ("Activation", {"value": lambda z: float(z)}, "it needs a plain number"),
        ("Activation", {"value": lambda z: z.mean()}, "it uses `.mean` of a number"),
        ("Activation", {"value": lambda z: np.mean(z)}, "it (calls|uses)"),
        ("Activation", {"value": lambda z: sum(z)}, "takes a number for an array"),
        ("Activation", {"value": lambda z: np.where(z == 0, 1.0, z)}, "compares numbers by =="),
        ("Activation", {"value": lambda z: z**2.5}, "the exponent 2.5"),
        ("Activation", {"value": lambda z: z * np.inf}, "the constant inf"),
        ("Activation", {"value": lambda z: z * np.ones(3)}, "computes with"),
        ("Activation", {"value": lambda z: np.where(True, z, 0.0)}, "condition of np.where does not depend"),
        ("Activation", {"value": lambda z, q: z}, r"cannot be called with \(z\)"),
        ("Activation", {"value": lambda z: "z"}, "computes with 'z'"),
        ("Activation", {"value": lambda z: np.log(-1.0 - z * z)}, "finite at no point"),
        ("Activation", {"low": 0.0, "high": 1.0}, "is -1 at z = -8, but low and high are 0 and 1"),
        ("Activation", {"low": 1.0, "high": 1.0}, "low must be a number below high"),
        ("Activation", {"name": "tanh"}, "'tanh' is the name of a built-in formula"),
        ("Activation", {"name": "my own"}, "must be letters, digits and underscores"),
        ("Loss", {"name": "huber"}, "'huber' is the name of a built-in formula"),
        ("Loss", {"derivative": lambda a, y: a - y}, "derivative of Loss 'own' is .* at a = -3.1, y = -3"),
        ("Loss", {"value": lambda a, y, c: a * c}, r"cannot be called with \(a, y\)"),
        ("Loss", {"constant": 1.0}, r"cannot be called with \(a, y, c\)"),
        ("Loss", {"constant": -1.0}, "constant must be"),
    ],
)
def test_wrong_definitions_get_a_sentence(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        PARTS[kind](**arguments)


def test_places_that_take_no_such_formula_say_so():
    other = Activation("gauss", np.tanh, lambda a: 1.0 - a * a)
    for settings, message in (
        ({"loss": lambda a, y: a - y}, "loss must be a name or a fastmlp.Loss"),
        ({"hidden_activation": np.tanh}, "hidden_activation must be a name or a fastmlp.Activation"),
        ({"loss": GAUSS}, "Unknown loss"),
        ({"hidden_activation": LOG_COSH}, "Unknown hidden_activation"),
        ({"hidden_activation": [GAUSS, other]}, "need names of their own"),
        ({"loss": "binary_cross_entropy", "output_activation": STEEP}, "it needs sigmoid"),
        ({"loss": LOG_COSH, "output_activation": "softmax"}, "choose a loss that takes 'softmax': softmax_cross"),
    ):
        with pytest.raises(ValueError, match=message):
            MLP((3, 2, 2, 2), **settings)
    with pytest.raises(ValueError, match="needs a loss whose second derivative"):
        MLP((3, 2, 2), loss=LOG_COSH).fit(X, Y, optimizer="levenbergmarquardt", verbose=0)
    with pytest.raises(ValueError, match="Unknown activation"):
        fastmlp.TabularMLPRegressor(activation=GAUSS).fit(X, Y)


@pytest.mark.parametrize("kind", ["net", "population"])
def test_files_have_names_and_digests(kind, tmp_path):
    settings = {"hidden_activation": [GAUSS, "relu"], "loss": PINBALL, "output_activation": CUBE, "random_state": 0}
    nets = MLP((3, 5, 4, 2), **settings) if kind == "net" else Population((3, 5, 4, 2), 3, **settings)
    nets.fit(X, Y, epochs=2, verbose=0)
    nets.save(path := tmp_path / "nets.safetensors")
    loaded = fastmlp.load(path, custom_objects=[PINBALL, CUBE, GAUSS, LOGISH])
    np.testing.assert_array_equal(loaded.predict(X), nets.predict(X))
    assert loaded.network == nets.network
    with pytest.raises(ValueError, match=r"has the own formula 'gauss'.*custom_objects=\[gauss\]"):
        fastmlp.load(path)
    for others in (
        Loss("pinball", *PINBALL_FUNCTIONS, constant=0.7),
        Loss("pinball", lambda a, y: a, lambda a, y: 1.0),
    ):
        with pytest.raises(ValueError, match="trained with another definition of Loss"):
            fastmlp.load(path, custom_objects=[others, CUBE, GAUSS])


def test_pickled_nets_are_the_same_in_another_process():
    """Where the codes of own formulas are others."""
    net = MLP((3, 5, 2), hidden_activation=GAUSS, loss=PINBALL, random_state=0)
    net.fit(X, Y, epochs=2, verbose=0)
    text = (
        "import sys, pickle, numpy as np, fastmlp\n"
        "fastmlp.MLP((1, 1), output_activation=fastmlp.Activation('first', np.tanh, lambda a: 1 - a * a))\n"
        "net, X, Y = pickle.load(sys.stdin.buffer)\n"
        "net.fit(X, Y, epochs=2, verbose=0)\n"
        "sys.stdout.buffer.write(pickle.dumps(net.params))"
    )
    command = [sys.executable, "-c", text]
    params = pickle.loads(
        subprocess.run(command, input=pickle.dumps((net, X, Y)), capture_output=True, check=True).stdout
    )
    net.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(params, net.params)


def test_exports_have_them(tmp_path):
    net = MLP((3, 5, 2), hidden_activation=LOGISH, output_activation=GAUSS, random_state=0)
    net.export(tmp_path / "net.h")
    np.testing.assert_allclose(c_outputs(tmp_path / "net.h", X, 2), net.predict(X), rtol=1e-5, atol=1e-6)
    torch = pytest.importorskip("torch")
    found = net.to_torch()(torch.from_numpy(X.astype("f4"))).detach().numpy()
    np.testing.assert_allclose(found, net.predict(X), rtol=1e-5, atol=1e-6)


def test_estimators_and_sweeps_take_them():
    from sklearn.base import clone

    classes = (Y[:, 0] > 0.5).astype(int)
    clf = clone(fastmlp.MLPClassifier(hidden_layer_sizes=5, activation=GAUSS, max_iter=3, random_state=0, tol=0.0))
    with pytest.warns(UserWarning, match="converge"):
        assert clf.fit(X, classes).net_.network.arguments()["hidden_activation"] == ["gauss"]
    regressor = fastmlp.MLPRegressor(hidden_layer_sizes=5, loss=PINBALL, activation=LOGISH, max_iter=3, random_state=0)
    with pytest.warns(UserWarning, match="converge"):
        assert regressor.fit(X, Y).net_.network.loss_row.name == "pinball"
    assert pickle.loads(pickle.dumps(regressor)).predict(X).tolist() == regressor.predict(X).tolist()
    space = {"hidden_activation": [GAUSS, "tanh"], "loss": LOG_COSH}
    result = fastmlp.sweep(X, Y, space, n=2, cv=2, epochs=3, batch_size=4, random_state=0, verbose=0)
    assert set(result.to_frame()["hidden_activation"].map(str)) == {"Activation('gauss')", "tanh"}


def test_a_checkpoint_goes_on_with_the_same_formula_only(tmp_path):
    path = tmp_path / "checkpoint"
    make = lambda hidden: MLP((3, 5, 2), hidden_activation=hidden, random_state=0)
    make(GAUSS).fit(X, Y, epochs=2, checkpoint=fastmlp.Checkpoint(path), verbose=0)
    other = Activation("gauss", lambda z: np.exp(-2.0 * z * z), lambda z: -4.0 * z * np.exp(-2.0 * z * z))
    resumed = fastmlp.Checkpoint(path, resume=True)
    with pytest.raises(ValueError, match="own_formulas"):
        make(other).fit(X, Y, epochs=4, checkpoint=resumed, verbose=0)
    net, whole = make(GAUSS), make(GAUSS)
    net.fit(X, Y, epochs=4, checkpoint=resumed, verbose=0)
    whole.fit(X, Y, epochs=4, verbose=0)
    np.testing.assert_array_equal(net.params, whole.params)


def test_equal_definitions_are_equal():
    same = Activation("gauss", lambda q: np.exp(-q * q), lambda z: -2.0 * z * np.exp(-z * z), low=0.0, high=1.0)
    assert same == GAUSS
    assert hash(same) == hash(GAUSS)
    assert same != STEEP
    assert repr(PINBALL) == "Loss('pinball', constant=0.8)"
    assert MLP((2, 2, 1), hidden_activation=same).network == MLP((2, 2, 1), hidden_activation=GAUSS).network


def test_a_full_table_gets_a_sentence(monkeypatch):
    table = fastmlp.kernels.formulas.activations.ACTIVATIONS
    monkeypatch.setattr("fastmlp.kernels.formulas.own_rows.MOST_ROWS", len(table) + len(table.own))
    with pytest.raises(ValueError, match="start Python anew"):
        MLP((2, 2, 1), hidden_activation=numerical("one_more", lambda z: z * z))


def test_rules_for_full_batches_and_diagnosis_take_them():
    net = MLP((3, 5, 2), hidden_activation=GAUSS, loss=LOG_COSH, random_state=0)
    net.fit(X, Y, epochs=5, batch_size=None, optimizer=Rprop(), verbose=0)
    net.fit(X, Y, epochs=5, batch_size=None, optimizer="lbfgs", verbose=0)
    assert str(fastmlp.diagnose(net, X, Y))
