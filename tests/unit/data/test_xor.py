"""XOR's samples."""

from fastmlp.data.xor import X, Y


def test_targets_are_one_where_the_inputs_differ():
    assert sorted(map(tuple, X.tolist())) == [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    assert [int(a != b) for a, b in X] == Y.tolist()
