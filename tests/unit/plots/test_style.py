"""Style of all plots: palette, logarithmic axes, panels."""

import builtins

import numpy as np
import pytest

import fastmlp


def test_missing_matplotlib_names_the_install_command(monkeypatch):
    found = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *arguments, **keywords)

    history = fastmlp.History()
    history.loss = np.ones(3)
    install = r"Plots need matplotlib: pip install 'fastmlp\[plot\]' \(in a checkout: pip install '\.\[plot\]'\)"
    with monkeypatch.context() as without:
        without.setattr(builtins, "__import__", refuse)
        with pytest.raises(ImportError, match=install):
            history.plot()


def test_plots_module_imports_without_matplotlib(fresh_python):
    done = fresh_python("import sys, fastmlp\nfastmlp.plots.history\nprint('matplotlib' in sys.modules)")
    assert (done.stdout.strip(), done.stderr) == ("False", "")
