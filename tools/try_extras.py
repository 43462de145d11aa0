"""Use each extra of an installed fastmlp for what it is for. Run it in a folder without the repository.

python try_extras.py [EXTRA ...]             all extras for users, or those named, which must be installed; onnxruntime,
                                             too, which runs the models
python try_extras.py --requirements          print the requirements of fastmlp and of these extras, one per line
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

import fastmlp

EXTRAS = "sklearn", "table", "plot", "onnx", "dask"
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])
SETTINGS = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "random_state": 0}
COMMAND = Path(sys.executable).with_name("fastmlp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=", ".join(EXTRAS))
    parser.add_argument("--requirements", action="store_true", help="print what must be installed, and end")
    arguments = parser.parse_args()
    if unknown := set(arguments.extras) - set(EXTRAS):
        parser.error(f"there is no extra {min(unknown)!r} to try, but {', '.join(EXTRAS)}")
    if arguments.requirements:
        print(*requirements(), sep="\n")
        return
    assert Path(fastmlp.__file__).is_relative_to(sys.prefix), f"not installed, but imported from {fastmlp.__file__}"
    os.environ["MPLBACKEND"] = "agg"
    for extra in arguments.extras or EXTRAS:
        globals()[f"use_{extra}"]()
        print(f"extra {extra}: works with {', '.join(map(installed, requirements_of(extra)))}", flush=True)


def requirements() -> list[str]:
    """Return the requirements of fastmlp, of its extras for users, and of this script.

    An installer takes the oldest versions of requirements that are named, and the newest of what they depend on.
    """
    own = [text for text in metadata.requires("fastmlp") or () if "extra ==" not in text]
    return [*own, *(text for extra in EXTRAS for text in requirements_of(extra)), "onnxruntime>=1.20"]


def requirements_of(extra: str) -> list[str]:
    marked = [text.split(";") for text in metadata.requires("fastmlp") or () if re.search(rf'extra == "{extra}"', text)]
    return [text.strip() for text, _ in marked if not text.startswith("fastmlp")]


def installed(requirement: str) -> str:
    name = re.match(r"[\w-]+", requirement)[0]
    return f"{name} {metadata.version(name)}"


def net_of_xor() -> tuple[fastmlp.MLP, fastmlp.History]:
    net = fastmlp.MLP((2, 4, 1), **SETTINGS)
    return net, net.fit(*XOR, epochs=200, optimizer="rprop", verbose=0)


def use_sklearn() -> None:
    from sklearn.base import clone
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = load_iris(return_X_y=True)
    classifier = fastmlp.MLPClassifier((16,), learning_rate_init=0.02, tol=1e-3, random_state=0)
    search = GridSearchCV(make_pipeline(StandardScaler(), classifier), {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=3)
    assert search.fit(X, y).best_score_ > 0.9
    regressor = fastmlp.MLPRegressor(hidden_layer_sizes=(16,), solver="lbfgs", tol=1e-2, random_state=0)
    assert clone(regressor).fit(X[:, :3], X[:, 3]).score(X[:, :3], X[:, 3]) > 0.9


def use_table() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=300), "town": rng.choice(["Ulm", "Bonn", None], 300)})
    frame["when"] = pd.date_range("2026-01-01", periods=300)
    frame["price"] = frame["size"] + (frame["town"] == "Ulm")
    frame["dear"] = np.where(frame["price"] > 0.5, "yes", "no")
    frame.to_csv("houses.csv", index=False)
    frame.to_parquet("houses.parquet")
    X = frame[["size", "town", "when"]]
    table = fastmlp.TabularMLPClassifier((16,), n_nets=2, random_state=0).fit(X, frame["dear"])
    assert table.score(X, frame["dear"]) > 0.8
    for target, dropped, file in (("dear", "price", "houses.csv"), ("price", "dear", "houses.parquet")):
        about, nets = f"--target {target} --drop {dropped}", "--hidden 16 --n-nets 2 --output model.safetensors"
        command(f"train {file} {about} {nets}")
        command(f"predict model.safetensors {file} --output predictions.csv")
        assert len(pd.read_csv("predictions.csv")) == 300
    command("report model.safetensors houses.parquet --output report.html")
    assert "data:image/" in Path("report.html").read_text(encoding="utf-8")
    net = fastmlp.MLP((1, 4, 1), random_state=0)
    numbers = frame[["size", "price"]]
    numbers.to_parquet("numbers.parquet")
    assert np.isfinite(net.fit("numbers.parquet", "price", epochs=2, batch_size=30, verbose=0).loss).all()


def command(arguments: str) -> None:
    subprocess.run([COMMAND, *arguments.split()], check=True, stdout=subprocess.DEVNULL)


def use_plot() -> None:
    net, history = net_of_xor()
    for draw in (
        lambda: fastmlp.plots.history(history),
        lambda: fastmlp.plots.boundary(net, *XOR),
        lambda: fastmlp.plots.confusion(net, *XOR),
    ):
        axes = np.ravel(draw())
        axes[0].figure.savefig("plot.png")
        assert Path("plot.png").read_bytes().startswith(b"\x89PNG")


def use_onnx() -> None:
    import onnx
    import onnxruntime
    import pandas as pd

    net = net_of_xor()[0]
    net.export("net.onnx")
    onnx.checker.check_model(onnx.load("net.onnx"))
    (outputs,) = onnxruntime.InferenceSession("net.onnx").run(["Y"], {"X": XOR[0]})
    np.testing.assert_allclose(outputs, net.predict(XOR[0]), atol=2e-6)
    frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0] * 20, "town": ["Ulm", "Bonn"] * 40})
    table = fastmlp.TabularMLPClassifier((16,), n_nets=1, random_state=0).fit(frame, np.arange(80) % 2)
    table.export("table.onnx")
    columns = {"size": frame[["size"]].to_numpy(np.float64), "town": frame[["town"]].to_numpy(object)}
    session = onnxruntime.InferenceSession("table.onnx")
    assert {field.name for field in session.get_inputs()} == set(columns)
    _, probabilities = session.run(["label", "probabilities"], columns)
    np.testing.assert_allclose(probabilities, table.predict_proba(frame), atol=2e-6)


def use_dask() -> None:
    from distributed import Client

    fit = {"epochs": 200, "optimizer": "rprop", "verbose": 0}
    there, here = (fastmlp.Population((2, 4, 1), 40, **SETTINGS) for _ in range(2))
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        there.fit(*XOR, **fit, executor=client.get_executor())
    here.fit(*XOR, **fit)
    np.testing.assert_array_equal(there.params, here.params)


if __name__ == "__main__":
    main()
