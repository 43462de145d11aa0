"""Benchmark results as text lines and Markdown tables."""

from bench_example import example, result, results, row
from reporting import result_texts


def test_one_line_names_wrong_competitors():
    won, lost = example()["results"]
    line = result_texts.one_line(won)
    assert "fastmlp 1 us per step; the best competitor, JAX tuned, takes 2.00 times as long" in line
    assert "1.25 times the limit, products gemm; PyTorch eager wrong: loss off by 2" in line
    assert "NumPy, takes 0.25 times as long" in result_texts.one_line(lost)
    assert result_texts.one_line(result("x", row("numpy", [1.0]))) == "fastmlp has no figure; best competitor NumPy 1 s"


def test_markdown_marks_the_fastest():
    text = result_texts.markdown(example())
    assert text.count("\n\n**") == 1, "a table per group"
    assert "| title of won | step | **1 us** | 2.00 x | 800 ns | 1.25 x | 2.2 us |" in text
    assert "| title of lost | step | 4 ms | 0.25 x | **1 ms** |" in text
    columns = {line.count("|") for line in text.splitlines() if line.startswith("| ")}
    assert columns == {8, 6}


def test_summary_lists_losses_and_missing_competitors():
    found = "\n".join(result_texts.summary(example()))
    assert "A competitor is faster at: title of lost" in found
    curve = {"name": "a curve", "axis": "nets", "x": 1000}
    point = result("p", row("fastmlp", [2.0], "ours"), row("jax", [1.0]), group="scaling", curve=curve)
    assert "A competitor is faster at: a curve, at 1,000" in result_texts.summary(results(point))
    assert "- a curve, at 1,000: fastmlp 2 s" in result_texts.losses_markdown(results(point))
    assert "not measured, Keras is not installed: Keras jax" in found
    assert "WARNING: title of won: PyTorch eager wrong" in found


def test_warnings_of_busy_or_slow_machines():
    busy = result("x", row("fastmlp", [1.0], "ours"), others_busy=0.4)
    (first,) = result_texts.warnings_of(results(busy, result("y")))
    assert first.startswith("Other programs were running: at 1 of 2 cases they took up to 40%")
    slow = result("z", row("fastmlp", [1.0] * 20, "ours"), slow_starts=1)
    (third,) = result_texts.warnings_of(results(slow))
    assert third.startswith("Before 1 of 20 measurements the CPUs did not reach full speed")
    assert result_texts.warnings_of(results(result("y"))) == []


def test_headline_has_ratios_per_group():
    assert result_texts.headline(example()) == [("xor", 1, 2.0, 2.0, 2.0), ("predict", 1, 0.25, 0.25, 0.25)]
    assert "| Prediction | 1 | 0.25 x |" in result_texts.headline_markdown(example())
