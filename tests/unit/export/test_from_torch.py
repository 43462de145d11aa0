"""Modules of PyTorch as nets: what is taken, and the sentence for what is not."""

import numpy as np
import pytest
from required_libraries import library

from fastmlp import MLP, from_torch

torch = library("torch", extras="bench")
nn = torch.nn


def test_a_module_of_pytorch(rng):
    torch.manual_seed(0)
    X = rng.normal(size=(20, 3)).astype(np.float32)
    block = nn.Sequential(nn.Linear(3, 6), nn.ELU(), nn.Dropout(0.5))
    module = nn.Sequential(
        nn.Identity(), block, nn.Linear(6, 4, bias=False), nn.GELU(), nn.Linear(4, 2), nn.Softmax(dim=1)
    )
    net = from_torch(module, device="cpu")
    assert isinstance(net, MLP)
    assert net.get_settings()["hidden_activation"] == ["elu", "gelu"]
    assert net.network.dropout == (0.5, 0.0)
    assert net.network.loss_row.name == "softmax_cross_entropy"
    assert not net.biases[1].any()
    with torch.no_grad():
        np.testing.assert_allclose(net.predict(X), module.eval()(torch.from_numpy(X)).numpy(), atol=1e-6)
    net.fit(X, np.arange(20) % 2, epochs=2, verbose=0)


def test_logits_get_the_activation_of_the_loss():
    module = nn.Linear(3, 1)
    net = from_torch(module, loss="binary_cross_entropy")
    assert net.network.output_row.name == "sigmoid"
    assert from_torch(module).network.output_row.name == "identity"
    with pytest.raises(ValueError, match="cannot be used with output_activation 'tanh'"):
        from_torch(nn.Sequential(module, nn.Tanh()), loss="binary_cross_entropy")


LINEAR = nn.Linear(2, 2)


class Doubled(nn.Linear):
    """A layer that computes something else than its parameters say."""

    def forward(self, x):
        return 2 * super().forward(x)


HOOKED = nn.Linear(2, 2)
HOOKED.register_forward_hook(lambda module, inputs, output: output + 1)
REFUSED = {
    "A Doubled has a forward of its own": nn.Sequential(LINEAR, Doubled(2, 2)),
    "A Linear has a forward of its own or hooks": nn.Sequential(HOOKED, LINEAR),
    "no Linear layer": nn.Sequential(),
    r"begins with ReLU\(\)": nn.Sequential(nn.ReLU(), LINEAR),
    "A layer LayerNorm cannot be taken": nn.Sequential(LINEAR, nn.LayerNorm(2)),
    "A layer LogSoftmax cannot be taken": nn.Sequential(LINEAR, nn.LogSoftmax(dim=1)),
    "leaky_relu has negative_slope=0.01, but this one 0.2": nn.Sequential(LINEAR, nn.LeakyReLU(0.2)),
    "gelu has approximate=none, but this one tanh": nn.Sequential(LINEAR, nn.GELU(approximate="tanh")),
    "softmax has dim=-1, but this one 0": nn.Sequential(LINEAR, nn.Softmax(dim=0)),
    "Two activations follow each other, relu and tanh": nn.Sequential(LINEAR, nn.ReLU(), nn.Tanh()),
    "takes 3 inputs, but the one before has 2 outputs": nn.Sequential(LINEAR, nn.Linear(3, 1)),
    "but they are float16: use module.float": nn.Sequential(nn.Linear(2, 2).half()),
    "have different dtypes": nn.Sequential(LINEAR, nn.Linear(2, 2).double()),
    r"Dropout stands before Tanh\(\)": nn.Sequential(LINEAR, nn.Dropout(0.1), nn.Tanh(), LINEAR),
    "Dropout follows the last layer": nn.Sequential(LINEAR, nn.Dropout(0.1)),
    "Unknown hidden_activation 'softmax'": nn.Sequential(LINEAR, nn.Softmax(dim=1), LINEAR),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_taken(message):
    with pytest.raises(ValueError, match=message):
        from_torch(REFUSED[message])


@pytest.mark.parametrize("thing", ["net.pt", nn.Conv1d(1, 1, 1), LINEAR.state_dict()], ids=["path", "module", "state"])
def test_only_sequential_modules_in_memory(thing):
    with pytest.raises(TypeError, match=r"from_torch takes a torch\.nn\.Sequential .* in memory, but got"):
        from_torch(thing)


def test_without_torch_a_sentence_says_what_to_install(fresh_python):
    done = fresh_python(
        "import sys; sys.modules['torch'] = None\n"
        "import fastmlp\n"
        "for call in (lambda: fastmlp.from_torch(None), fastmlp.MLP((2, 1)).to_torch):\n"
        "    try: call()\n"
        "    except ImportError as error: print(error)\n"
    )
    assert done.stdout.count("Modules of PyTorch need the package torch") == 2


def test_dropout_on_either_side_of_relu():
    for middle in ((nn.ReLU(), nn.Dropout(0.25)), (nn.Dropout(0.25), nn.ReLU())):
        network = from_torch(nn.Sequential(nn.Linear(2, 3), *middle, nn.Linear(3, 1))).network
        assert (network.dropout, network.arguments()["hidden_activation"]) == ((0.25,), ["relu"])
