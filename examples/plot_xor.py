"""
XOR
===

Trains a small net on the four samples of XOR, and draws its decision boundary and its loss.
"""

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
history = net.fit(X, y, epochs=200, optimizer="rprop")
print(history)
print(net.predict(X).ravel().round(3), net.predict_classes(X))

# %%
# The plane is paler where the net is less sure, which is hardly anywhere at the end. The two lines are where it changes
# its mind.

_ = net.plot_boundary(X, y)

# %%
# The loss falls towards 0, since the four samples can be separated without an error.

_ = history.plot()

plt.show()
