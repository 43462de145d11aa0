"""A workload's results as text, fastest first."""

from __future__ import annotations


def engineering(value: float, unit: str) -> str:
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def print_workload(result: dict) -> None:
    sizes = "-".join(map(str, result["layer_sizes"]))
    print(f"\n== {result['name']}: {sizes}, {result['loss']}, {result['optimizer']}, batch {result['batch_size']}, "
          f"{result['n_steps']} steps an epoch, float32; data: {result['source']}")  # fmt: skip
    timed = sorted((row for row in result["rows"] if row["status"] == "timed"), key=lambda row: row["median"])
    limit = next((row for row in timed if row["is_limit"]), None)
    floor = f"{engineering(result['flop_per_step'], 'FLOP')}, {engineering(result['bytes_per_step'], 'B')} of update"
    if limit:
        rate = engineering(result["flop_per_step"] / limit["median"], "FLOP/s")
        floor += f", bare products {limit['median'] * 1e6:.4g} us ({rate})"
    print(f"floor per step: {floor}")
    print(f"{'contestant':17}{'threads':>8}{'us/step':>11}{'smallest':>11}{'largest':>11}{'/products':>10}{'/fastmlp':>10}"
          f"{'compile s':>10}{'peak MB':>9}{'epochs':>8}")  # fmt: skip
    for row in timed:
        spread = [f"{value * 1e6:11.4g}" for value in (row["median"], min(row["seconds"]), max(row["seconds"]))]
        ratios = [f"{row[key]:10.3g}" if row[key] else f"{'-':>10}" for key in ("to_products", "to_ours")]
        print(f"{row['name']:17}{row['threads'] or 'own':>8}{''.join(spread)}{''.join(ratios)}"
              f"{row['compile_seconds']:10.3g}{row['peak_memory'] / 1e6:9.0f}{row['n_epochs']:8}")  # fmt: skip
    for row in result["rows"]:
        if row["status"] != "timed":
            print(f"{row['name']:17}{'':>8}  {row['status']}")
    print_details(timed)


def print_details(timed: list[dict]) -> None:
    for row in timed:
        tried = ", ".join(f"{threads}: {seconds * 1e6:.4g} us" for threads, seconds in row["tried"].items())
        off = row["verified"]
        verified = f"parameters within {off[0]:.1g}, loss within {off[1]:.1g}; " if off else ""
        print(f"   {row['name']}: {verified}threads tried {tried}; products: {row['products']}")
