"""PyTorch in three forms.

"eager": nn.Sequential, autograd and the fused optimiser. "captured": the same, its step replayed as a CUDA graph.
"compiled": a whole step (forward, gradients, update) in one torch.compile graph; for small nets several steps, since
calling the graph takes longer than a step.
"""

from __future__ import annotations

import time

from suite.flat_params import flatten, layers
from suite.training_case import TrainingCase

from competitors import DEVICE, TrainingImplementation

# Epochs in one graph where an epoch is one step. More of them compile longer and gain little; Adam's graph is larger.
UNROLLED_EPOCHS = {"sgd": 20, "adam": 8}
UNROLLED_STEPS = 8
SMALL = 1e7  # FLOP of a step, below which steps are unrolled


def products() -> str:
    import torch

    if DEVICE == "cuda":
        return f"cuBLAS inside torch, {torch.cuda.get_device_name()}"
    blas = "MKL" if torch.backends.mkl.is_available() else "OpenBLAS"
    return f"{blas} inside torch ({torch.backends.cpu.get_cpu_capability()})"


def synchronize() -> None:
    """Wait until the GPU is finished; a call on a CPU returns when it is."""
    if DEVICE == "cuda":
        import torch

        torch.cuda.synchronize()


def loss_function(case: TrainingCase):
    """(logits, targets) -> loss."""
    import torch.nn.functional as F

    if case.loss == "softmax_cross_entropy":
        return F.cross_entropy
    if case.loss == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits
    if case.output_activation == "sigmoid":
        return lambda z, y: F.mse_loss(z.sigmoid(), y)
    return F.mse_loss


def start(case: TrainingCase, threads: int):
    """(X, y) on the device, in batches, with the threads and the precision of the case."""
    import torch

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest" if case.precision == "exact" else "high")
    X, y = (torch.from_numpy(array).to(DEVICE).split(case.batch_size) for array in (case.X, case.y))
    return list(zip(X, y, strict=True))


class Eager(TrainingImplementation):
    """nn.Sequential and autograd; products under autocast for bfloat16. is_captured : the step as one CUDA graph"""

    is_captured = False

    def prepare(self, case: TrainingCase, threads: int) -> float:
        import torch

        self.case, self.batches, self.loss_of = case, start(case, threads), loss_function(case)
        self.half = torch.bfloat16 if case.precision == "bfloat16" else None
        activation = {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid}[case.hidden_activation]
        modules = [module for i, o in case.shapes for module in (torch.nn.Linear(i, o), activation())]
        self.model = torch.nn.Sequential(*modules[:-1]).to(DEVICE)  # logits: the loss includes the output activation
        optimizer, more = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[case.optimizer], {}
        if self.is_captured and case.optimizer == "adam":
            more["capturable"] = True
        self.optimizer = optimizer(self.model.parameters(), lr=case.learning_rate, fused=True, **more)
        started = time.perf_counter()
        self.reset()
        self.run(1)  # the first step sets up the libraries; nothing is compiled
        self.reset()
        return time.perf_counter() - started

    def reset(self) -> None:
        import torch

        with torch.no_grad():
            pairs = layers(self.case.start, self.case.layer_sizes)
            linears = [module for module in self.model if isinstance(module, torch.nn.Linear)]
            for linear, (W, b) in zip(linears, pairs, strict=True):
                linear.weight.copy_(torch.from_numpy(W).T)
                linear.bias.copy_(torch.from_numpy(b))
            for state in self.optimizer.state.values():
                for number in filter(lambda value: value is not None, state.values()):
                    number.zero_()

    def step(self, X, y) -> None:
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, self.half, enabled=self.half is not None):
            loss = self.loss_of(self.model(X), y)
        loss.backward()
        self.optimizer.step()

    def run(self, n_epochs: int) -> None:
        step = self.step
        for _ in range(n_epochs):
            for X, y in self.batches:
                step(X, y)
        synchronize()

    def params(self):
        parameters = list(self.model.parameters())
        return flatten((p.detach().T if p.ndim == 2 else p.detach()).cpu().numpy() for p in parameters)

    def loss(self, X, y) -> float:
        import torch

        with torch.no_grad():
            return float(self.loss_of(self.model(torch.from_numpy(X).to(DEVICE)), torch.from_numpy(y).to(DEVICE)))


class Captured(Eager):
    """The whole step, the optimiser's part included, as one CUDA graph on inputs that stay in one place."""

    is_captured = True

    def prepare(self, case: TrainingCase, threads: int) -> float:
        import torch

        seconds, plain_step = super().prepare(case, threads), self.step
        started = time.perf_counter()
        x, t = (tensor.clone() for tensor in self.batches[0])
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # allocations are done before, as PyTorch's notes ask for
            for _ in range(3):
                plain_step(x, t)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            plain_step(x, t)

        def step(X, y) -> None:
            x.copy_(X)
            t.copy_(y)
            graph.replay()

        self.step = step
        self.reset()
        return seconds + time.perf_counter() - started


class Compiled(TrainingImplementation):
    def prepare(self, case: TrainingCase, threads: int) -> float:
        import torch

        self.case, self.batches = case, start(case, threads)
        half = torch.bfloat16 if case.precision == "bfloat16" else None
        loss_of, rate, adam = loss_function(case), case.learning_rate, case.optimizer == "adam"
        activation = {"relu": torch.relu, "sigmoid": torch.sigmoid}[case.hidden_activation]

        def loss(params, X, y):
            for k in range(0, len(params), 2):
                X = torch.addmm(params[k + 1], activation(X) if k else X, params[k])
            return loss_of(X, y)

        def rounded_loss(params, X, y):
            with torch.autocast(DEVICE, half, enabled=half is not None):
                return loss(params, X, y)

        gradient = torch.func.grad(rounded_loss)

        def one_step(params, m, v, t, X, y):
            grads = gradient(params, X, y)
            if not adam:
                for p, g in zip(params, grads, strict=True):
                    p.sub_(rate * g)
                return
            t.add_(1)
            root = (1 - 0.999**t).sqrt()
            size = rate * root / (1 - 0.9**t)
            for p, g, m_k, v_k in zip(params, grads, m, v, strict=True):
                m_k.mul_(0.9).add_(g, alpha=0.1)
                v_k.mul_(0.999).addcmul_(g, g, value=0.001)
                p.sub_(size * m_k / (v_k.sqrt() + 1e-8 * root))

        def several_steps(params, m, v, t, *batches):
            for X, y in batches:
                one_step(params, m, v, t, X, y)

        torch._dynamo.config.fail_on_recompile_limit_hit = True  # instead of running eagerly, silently
        self.forward_loss = loss
        mode = "reduce-overhead" if DEVICE == "cuda" else None  # CUDA graphs: a launch costs more than a small step
        self.step = torch.compile(several_steps, fullgraph=True, dynamic=False, mode=mode)
        self.reset()
        started = time.perf_counter()
        for group in {
            len(group): group for group in self.groups(1) + self.groups(UNROLLED_EPOCHS[case.optimizer])
        }.values():
            self.call(group)
        seconds = time.perf_counter() - started
        self.reset()
        return seconds

    def groups(self, n_epochs: int) -> list:
        """The batches of n_epochs epochs, in groups: one for each call of the graph."""
        if self.case.n_steps == 1:
            n = UNROLLED_EPOCHS[self.case.optimizer]
            n_full, n_single = divmod(n_epochs, n)
            return [self.batches * n] * n_full + [self.batches] * n_single
        is_small = self.case.flop_per_step < SMALL
        size = next(k for k in range(UNROLLED_STEPS if is_small else 1, 0, -1) if self.case.n_steps % k == 0)
        return [self.batches[at : at + size] for at in range(0, self.case.n_steps, size)] * n_epochs

    def call(self, group) -> None:
        import torch

        with torch.no_grad():
            self.step(self.p, self.m, self.v, self.t, *group)

    def reset(self) -> None:
        """Write the start into the existing tensors: for new ones, torch.compile would check its guards again."""
        import torch

        fresh = [
            torch.from_numpy(x.copy()).to(DEVICE)
            for pair in layers(self.case.start, self.case.layer_sizes)
            for x in pair
        ]
        if not hasattr(self, "p"):
            self.p, self.m, self.v = fresh, [torch.zeros_like(p) for p in fresh], [torch.zeros_like(p) for p in fresh]
            self.t = torch.zeros((), device=DEVICE)
        for p, m, v, first in zip(self.p, self.m, self.v, fresh, strict=True):
            p.copy_(first)
            m.zero_()
            v.zero_()
        self.t.zero_()

    def run(self, n_epochs: int) -> None:
        for group in self.groups(n_epochs):
            self.call(group)
        synchronize()

    def params(self):
        return flatten(p.cpu() for p in self.p)

    def loss(self, X, y) -> float:
        import torch

        with torch.no_grad():
            return float(self.forward_loss(self.p, torch.from_numpy(X).to(DEVICE), torch.from_numpy(y).to(DEVICE)))


def Implementation(variant: str):
    return {"eager": Eager, "captured": Captured, "compiled": Compiled}[variant]()
