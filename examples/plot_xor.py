"""
XOR, and how it is learnt
=========================

Trains a small net on the four samples of XOR, draws its decision boundary, and shows in an animation how the boundary
came about.
"""

import tempfile
from base64 import b64encode
from pathlib import Path

import matplotlib.pyplot as plt

import fastmlp

X = [[0, 0], [0, 1], [1, 0], [1, 1]]
y = [0, 1, 1, 0]
net = fastmlp.MLP(
    (2, 4, 1),
    hidden_activation="tanh",
    loss="binary_cross_entropy",
    random_state=0,
)
snapshots = fastmlp.Snapshots()
history = net.fit(X, y, epochs=200, optimizer="rprop", callbacks=snapshots)
print(history)
print(net.predict(X).ravel().round(3), net.predict_classes(X))

# %%
# The plane is paler where the net is less sure, which is hardly anywhere at the end. The two lines are where it changes
# its mind.

_ = net.plot_boundary(X, y)

# %%
# The loss falls towards 0, since the four samples can be separated without an error.

_ = history.plot()

# %%
# The snapshots hold the parameters after each epoch, and the animation draws the boundary for some of them, at first in
# pale colours. The
# small class is for pages and notebooks, which display an object by its ``_repr_html_``.


class Movie:
    def __init__(self, gif):
        self.gif = gif

    def _repr_html_(self):
        source = f"data:image/gif;base64,{b64encode(self.gif).decode()}"
        return f'<img alt="The boundary over 200 epochs" src="{source}">'


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "xor.gif")
    fastmlp.plots.animation(snapshots, X, y, path, frames=30, seconds=3)
    gif = path.read_bytes()
plt.close()  # the last frame
Movie(gif)

# %%
# The parameters went through a space of 17 dimensions. The landscape shows the loss in the plane that holds most of
# their way.

_ = fastmlp.plots.landscape(net, X, y, snapshots=snapshots)

plt.show()
