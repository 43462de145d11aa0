"""
A table from end to end
=======================

A table with numbers, text, categories and missing cells goes into ``TabularMLPClassifier`` as it is. The example
trains five nets, asks what is unusual in a new table, saves the model with its preprocessing, and draws which columns
matter.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

import fastmlp
from fastmlp import TabularMLPClassifier

# %%
# A generated table of flats, and whether each was let within a month. Some areas are missing, and so are some
# districts.

rng = np.random.default_rng(0)
n = 1500
flats = pd.DataFrame(
    {
        "area": rng.gamma(9, 8, n).round(1),
        "rent": rng.lognormal(6.8, 0.3, n).round(-1),
        "district": rng.choice(
            ["north", "south", "harbour", "old town"], n
        ),
        "heating": pd.Categorical(
            rng.choice(["gas", "oil", "heat pump"], n)
        ),
        "balcony": rng.random(n) < 0.5,
        "agent": rng.choice(["A", "B", "C"], n),
    }
)
appeal = (
    flats["area"] / 25
    - flats["rent"] / 300
    + flats["balcony"]
    + flats["district"].map(
        {"north": -1, "south": 0, "harbour": 1.5, "old town": 1}
    )
    + flats["heating"]
    .astype(str)
    .map({"gas": 0, "oil": -1, "heat pump": 1})
)
let = np.where(
    appeal + rng.logistic(0, 0.7, n) > appeal.median(), "let", "empty"
)
flats.loc[rng.random(n) < 0.05, "area"] = np.nan
flats.loc[rng.random(n) < 0.05, "district"] = None
print(flats.head())

# %%
# Numbers become normal quantiles, text and categories one input per category, missing cells an input of their own. A
# fifth of the rows is held out for early stopping. The settings below are smaller than the defaults, to save seconds.

train, test, let_train, let_test = train_test_split(
    flats, let, test_size=0.3, random_state=0
)
model = TabularMLPClassifier(
    (64, 64), n_nets=5, max_iter=40, random_state=0
).fit(train, let_train)
print(
    f"accuracy {model.score(test, let_test):.3f}, "
    f"and {np.mean(let_test == 'let'):.3f} if all were let"
)
print(model.encoded_feature_names())

# %%
# A new table may hold what training has not seen. ``notes_on`` reports it; ``predict`` warns only if most cells of a
# column are of such a kind.

new = test.head(4).reset_index(drop=True)
new.loc[0, "district"] = "airport"
new["heating"] = new["heating"].astype(str)
new.loc[1, "heating"] = "wood"
for note in model.notes_on(new):
    print(note)
print(
    pd.DataFrame(model.predict_proba(new), columns=model.classes_).round(2)
)

# %%
# One file holds the nets, the encoding of the columns and the names of the classes. It contains no pickle.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "flats.safetensors")
    model.save(path)
    print(f"{path.stat().st_size / 1024:.0f} KiB")
    same = fastmlp.load(path)
print(
    type(same).__name__,
    np.array_equal(same.predict_proba(test), model.predict_proba(test)),
)

# %%
# Which columns matter: the accuracy that is lost when a column of the test table is shuffled. The agent has no effect
# in this table.

lost = permutation_importance(
    model, test, let_test, n_repeats=5, random_state=0
).importances_mean
lost = pd.Series(lost, test.columns).sort_values()
figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ax.barh(lost.index, lost)
ax.axvline(0, color="0.3", linewidth=0.8)
_ = ax.set(
    xlabel="accuracy lost when the column is shuffled",
    title="Importance of columns",
)

plt.show()
