"""Benchmark results as text: lines for a terminal, Markdown for the documents."""

from __future__ import annotations

from typing import Any

from fastmlp.console.durations import duration

from .result_statistics import (
    GROUPS,
    LEVEL,
    UNSTEADY,
    Result,
    Row,
    behind,
    best_peer,
    by_group,
    full_title,
    is_unsteady,
    limit,
    median,
    ours,
    outside_curves,
    spread,
    timed,
    to_best_peer,
    to_limit,
    verdict,
)

# First word of a program's name -> spelling of the library's name.
FAMILIES = {"jax": "JAX", "numpy": "NumPy", "torch": "PyTorch", "keras": "Keras", "sklearn": "scikit-learn"}
# Rows of fastmlp with other settings that have a column of their own -> its head.
PART_COLUMNS = {"fastmlp, one thread": "one thread", "fastmlp, AVX2": "AVX2 only"}
BUSY = 0.1  # fraction of CPU time taken by other programs above which durations are doubtful
FARTHER = 3.0  # a barrier of two threads that takes this many times the best one shows that their CPUs moved apart
SLOW_STARTS = 0.02  # fraction of measurements that began on slow CPUs above which a warning is shown
NO_FIGURE = "-"


def times(ratio: float) -> str:
    """Return a ratio as text, with fewer decimals the larger it is.

    >>> times(1.234), times(0.98765), times(23.4), times(1234.5)
    ('1.23', '0.99', '23', '1,234')
    """
    return f"{ratio:,.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def label(name: str) -> str:
    """Return a program's name with its library spelled correctly.

    >>> label("torch eager"), label("fastmlp, own stopping")
    ('PyTorch eager', 'fastmlp, own stopping')
    """
    family = name.split()[0].rstrip(",")
    return FAMILIES.get(family, family) + name[len(family.rstrip(",")) :]


def one_line(result: Result) -> str:
    """Return the outcome of a benchmark case: fastmlp, the best competitor, the roofline, and failures."""
    fastmlp_row, peer, floor = ours(result), best_peer(result), limit(result)
    phrases = [
        f"fastmlp {duration(median(fastmlp_row))} per {result['unit']}" if fastmlp_row else "fastmlp has no figure"
    ]
    if ratio := to_best_peer(result):
        phrases.append(f"the best competitor, {label(peer['name'])}, takes {times(ratio.median)} times as long")  # type: ignore[index]
    elif peer:
        phrases.append(f"best competitor {label(peer['name'])} {duration(median(peer))}")
    if over := to_limit(result):
        phrases.append(f"{times(over.median)} times the limit, {floor['name']}")  # type: ignore[index]
    phrases += [f"{label(row['name'])} {row['status']}: {row['reason']}" for row in failures(result)]
    return "; ".join(phrases)


def failures(result: Result) -> list[Row]:
    return [row for row in result["rows"] if row["status"] in ("failed", "wrong")]


def busy_cases(results: dict[str, Any]) -> list[Result]:
    return [result for result in results["results"] if result["others_busy"] > BUSY]


def warnings_of(results: dict[str, Any]) -> list[str]:
    """Return warnings about disturbances of the measurement, wrong settings and failures."""
    warnings = []
    if busy := busy_cases(results):
        worst = max(result["others_busy"] for result in busy)
        warnings.append(
            f"Other programs were running: at {len(busy)} of {len(results['results'])} cases they took up to "
            f"{worst:.0%} of the processors. Ratios within a case were measured side by side and may hold; do not "
            "quote the durations."
        )
    n_slow_starts = sum(result.get("slow_starts", 0) for result in results["results"])
    measured = sum(len(row["seconds"]) for result in results["results"] for row in result["rows"])
    if n_slow_starts > SLOW_STARTS * measured:
        warnings.append(
            f"Before {n_slow_starts:,} of {measured:,} measurements the CPUs did not reach full speed, as if two of "
            "them were one core, or another machine used the core too: programs with two threads are slower then."
        )
    barriers = [seconds for result in results["results"] for seconds in result.get("meetings", ())]
    if barriers and max(barriers) > FARTHER * (best_barrier := min(barriers)):
        n_slow_barriers = sum(
            max(result.get("meetings", ()), default=0.0) > FARTHER * best_barrier for result in results["results"]
        )
        warnings.append(
            f"The distance of the CPUs changed: a barrier of two threads took {duration(best_barrier)} at best, and "
            f"up to {duration(max(barriers))} at {n_slow_barriers} of {len(results['results'])} cases, where small "
            "nets with two threads are slower."
        )
    if unsteady := sum(map(is_unsteady, results["results"])):
        warnings.append(
            f"At {unsteady} of {len(results['results'])} cases, marked ~, the rounds of fastmlp or of the best "
            f"competitor differ by more than {UNSTEADY} times: their ratio is not reliable."
        )
    if slowed := results["machine"]["slowed_by"]:
        warnings.append(f"{' and '.join(slowed)} set: OpenBLAS, and NumPy with it, is slower than it could be.")
    for result in results["results"]:
        warnings += [
            f"{result['title']}: {label(row['name'])} {row['status']}, {row['reason']}" for row in failures(result)
        ]
    return warnings


def processor_text(results: dict[str, Any]) -> str:
    """Return the processor that results were measured on, with its microarchitecture where the file has it."""
    machine = results["machine"]
    name = machine.get("microarchitecture")
    return f"{machine['processor']} ({name})" if name else machine["processor"]


def device_text(results: dict[str, Any]) -> str:
    """Return what results were measured on: the processor and its number of CPUs, after the GPU if there is one."""
    machine = results["machine"]
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    return f"{gpu}{processor_text(results)}, {machine['cpus']} CPU{'s' if machine['cpus'] > 1 else ''}"


def machine_lines(results: dict[str, Any]) -> list[str]:
    machine = results["machine"]
    memory = f", {machine['memory'] / 2**30:.0f} GiB" if machine["memory"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        f"{device_text(results)}{memory}, {machine['system']}; "
        f"device {results['options']['device']}, float32, {results['finished'][:10]}",
        versions,
        *(["a quick run: few cases, few rounds"] if results["options"]["quick"] else []),
    ]


def missing_lines(results: dict[str, Any]) -> list[str]:
    return [f"not measured, {reason}: {', '.join(map(label, names))}" for reason, names in results["missing"].items()]


def summary(results: dict[str, Any]) -> list[str]:
    """Return lines for a terminal.

    They show the machine, warnings, missing competitors, a line per benchmark case, and the cases where a competitor is
    faster.
    """
    products = products_in_use(results)
    lines = machine_lines(results) + ([f"products by: {', '.join(products)}"] if products else [])
    lines += [f"WARNING: {text}" for text in warnings_of(results)] + missing_lines(results)
    for group, members in by_group(outside_curves(results)):
        lines += ["", GROUPS[group]]
        lines += [f"  {result['title']}: {one_line(result)}" for result in members]
    if lost := behind(results):
        lines += ["", "A competitor is faster at: " + "; ".join(map(full_title, lost))]
    return lines


def products_in_use(results: dict[str, Any]) -> list[str]:
    """Return the libraries that computed matrix products, each once; empty if none was recorded."""
    libraries: dict[str, None] = {}
    for result in results["results"]:
        for row in timed(result):
            libraries.update(dict.fromkeys(text for text in row["products"].split("; ") if text))
    return list(libraries)


def family_best(result: Result, family: str) -> Row | None:
    return next((row for row in timed(result, "peer") if row["name"].split()[0].rstrip(",") == family), None)


def part(result: Result, name: str) -> Row | None:
    """Return the row of fastmlp with other settings of this name, if it was timed."""
    return next((row for row in timed(result, "part") if row["name"] == name), None)


def _cell(row: Row | None) -> str:
    return duration(median(row)) if row else NO_FIGURE


def markdown(results: dict[str, Any]) -> str:
    """Return a Markdown table for each group: fastmlp, ratios, the roofline, the fastest program of each library.

    fastmlp on one thread or with AVX2 only has a column in groups with such rows.
    """
    tables = []
    for group, members in by_group(outside_curves(results)):
        families = [name for name in FAMILIES if any(family_best(result, name) for result in members)]
        with_limit = any(limit(result) for result in members)
        parts = [name for name in PART_COLUMNS if any(part(result, name) for result in members)]
        heads = ["case", "per", "fastmlp", *(PART_COLUMNS[name] for name in parts), "best competitor takes"]
        heads += [*(["limit", "over the limit"] if with_limit else []), *(FAMILIES[name] for name in families)]
        lines = [f"**{GROUPS[group]}**", "", _row(heads), _row(["---"] * 2 + ["---:"] * (len(heads) - 2))]
        for result in members:
            ratio_to_peer, ratio_to_limit = to_best_peer(result), to_limit(result)
            own_cell = _cell(ours(result))
            cells = [result["title"], result["unit"]]
            cells += [f"**{own_cell}**" if verdict(result) == "ahead" else own_cell]
            cells += [_cell(part(result, name)) for name in parts]
            cells += [times_of_peer(result) if ratio_to_peer else NO_FIGURE]
            if with_limit:
                cells += [_cell(limit(result))]
                cells += [f"{times(ratio_to_limit.median)} x" if ratio_to_limit else NO_FIGURE]
            cells += [_winner(result, family_best(result, name)) for name in families]
            lines.append(_row(cells))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def times_of_peer(result: Result) -> str:
    """Return the ratio of the best competitor's duration to fastmlp's as text, marked with ~ if the rounds vary."""
    ratio = to_best_peer(result)
    assert ratio is not None
    return f"{'~ ' * is_unsteady(result)}{times(ratio.median)} x"


def _winner(result: Result, row: Row | None) -> str:
    """Return the cell of a competitor, in bold if it is the best competitor and faster than fastmlp."""
    wins = row is not None and row is best_peer(result) and verdict(result) == "behind"
    return f"**{_cell(row)}**" if wins else _cell(row)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def headline(results: dict[str, Any]) -> list[tuple[str, int, float, float, float]]:
    """Return (group, number of cases with a competitor, smallest, median and largest ratio) in the order of GROUPS.

    The ratio is that of the best competitor's duration to fastmlp's.
    """
    rows = []
    for group, members in by_group(outside_curves(results)):
        ratios = [ratio.median for result in members if (ratio := to_best_peer(result))]
        if ratios:
            rows.append((group, len(ratios), min(ratios), spread(ratios).median, max(ratios)))
    return rows


def headline_markdown(results: dict[str, Any]) -> str:
    """Return a Markdown table with the ratio of the best competitor's duration to fastmlp's for each group."""
    lines = ["| group | cases | the best competitor takes | median |", "| --- | ---: | ---: | ---: |"]
    for group, n, low, middle, high in headline(results):
        extent = f"{times(low)} to {times(high)} x" if n > 1 else f"{times(middle)} x"
        lines.append(f"| {GROUPS[group]} | {n} | {extent} | {times(middle)} x |")
    return "\n".join(lines)


def report_markdown(results: dict[str, Any]) -> str:
    """Return the content of the HTML page as Markdown, without plots."""
    sections = ["# fastmlp's benchmarks", "\n".join(machine_lines(results))]
    sections += [f"> {text}" for text in warnings_of(results)]
    sections += [headline_markdown(results), losses_markdown(results)]
    if missing := missing_lines(results):
        sections.append("\n".join(f"- {line}" for line in missing))
    return "\n\n".join([*sections, markdown(results)]) + "\n"


def losses_markdown(results: dict[str, Any]) -> str:
    """Return a list of the cases where a competitor is faster, or a sentence that there are none."""
    lines = [f"- {full_title(result)}: {one_line(result)}" for result in behind(results)]
    if lines:
        return "Where a competitor is faster:\n\n" + "\n".join(lines)
    return f"In no case, and at no point of a curve, is a competitor faster by more than {100 * LEVEL:.0f} %."
