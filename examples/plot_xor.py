"""
XOR in one second
=================

Four samples.
"""

import fastmlp

X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
net = fastmlp.MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
history = net.fit(X, y, epochs=1000, optimizer="rprop")
print(net.predict_classes(X))
