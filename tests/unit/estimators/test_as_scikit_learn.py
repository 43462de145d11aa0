"""scikit-learn's own tests of its MLPs, read where it is installed, with nothing but the import changed.

The page docs/coming_from/scikit_learn.md lists the tests of EXCEPTIONS, with their reasons.
"""

from pathlib import Path

import pytest
import sklearn
import sklearn.neural_network

if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9):
    pytest.skip("the estimators follow scikit-learn 1.9, whose tests differ from earlier ones", allow_module_level=True)

PATH = Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py"
THEIRS = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
source = PATH.read_text(encoding="utf-8")
assert source.count(THEIRS) == 1
exec(compile(source.replace(THEIRS, THEIRS.replace("sklearn.neural_network", "fastmlp")), PATH, "exec"))

# Warnings are not errors in scikit-learn's own runs.
pytestmark = pytest.mark.filterwarnings("ignore")
EXCEPTIONS = {
    "test_fit": "sets coefs_ and intercepts_ before the first fit",
    "test_gradient": "calls _loss_grad_lbfgs, a private method with scikit-learn's own buffers as arguments",
    "test_mlp_param_dtypes[MLPClassifier-float64]": "expects float64 for X in float64, which dtype='float64' gives",
    "test_mlp_param_dtypes[MLPRegressor-float64]": "expects float64 for X in float64, which dtype='float64' gives",
}


def test_the_page_lists_the_exceptions():
    page = (Path(__file__).parents[3] / "docs" / "coming_from" / "scikit_learn.md").read_text(encoding="utf-8")
    for name in EXCEPTIONS:
        assert f"`{name.partition('[')[0]}`" in page


@pytest.fixture
def global_random_seed():
    """Fixture of scikit-learn's conftest.py, with its default."""
    return 42


@pytest.fixture(autouse=True)
def expect_exceptions(request):
    """Tests of EXCEPTIONS must fail, so that the page is changed when one of them passes."""
    if reason := EXCEPTIONS.get(request.node.name):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
