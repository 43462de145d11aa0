"""Columns of dates: what is read as a date, features, notes, and what is refused."""

import datetime

import numpy as np
import pytest

from fastmlp.tables.date_column import CYCLES, DateColumn
from fastmlp.tables.features import column_from_dict, fit_column

pd = pytest.importorskip("pandas", reason="pip install 'fastmlp[table]' has pandas")

START = pd.Timestamp("2019-03-01")


def dated(n=900, hours=0):
    return pd.Series(
        START + pd.to_timedelta(np.arange(n), "D") + pd.to_timedelta(np.arange(n) * hours, "h"), name="day"
    )


def features(column, series):
    out = np.full((len(series), len(column.feature_names)), np.nan)
    return out, column.encode(series, out)


def test_time_and_cycles_are_the_features():
    series = dated()
    column, note = fit_column(series)
    assert (column.kind, column.cycles, note) == ("date", ("week", "year"), "")
    assert column_from_dict(column.to_dict()) == column
    out, notes = features(column, series)
    assert notes == []
    days = (series - pd.Timestamp("1970-01-01")).dt.days.to_numpy(float)
    np.testing.assert_allclose(out[:, 0], (days - days.mean()) / days.std())
    expected = {"day: sine of the week": np.sin(2 * np.pi * days / 7)}
    expected["day: cosine of the week / 3"] = np.cos(2 * np.pi * days * 3 / 7)
    expected["day: sine of the year / 2"] = np.sin(2 * np.pi * days * 2 / CYCLES["year"].days)
    for name, values in expected.items():
        np.testing.assert_allclose(out[:, column.feature_names.index(name)], values, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("n", "hours", "cycles"),
    [(5, 0, ()), (40, 0, ("week",)), (40, 1, ("day", "week")), (400, 7, ("day", "week", "year"))],
)
def test_cycles_that_training_does_not_span_are_left_out(n, hours, cycles):
    assert fit_column(dated(n, hours))[0].cycles == cycles


FORMS = {
    "datetime64": lambda s: s,
    "seconds": lambda s: s.astype("datetime64[s]"),
    "datetime": lambda s: pd.Series(list(s.dt.to_pydatetime()), dtype=object, name="day"),
    "date": lambda s: pd.Series([cell.date() for cell in s], dtype=object, name="day"),
    "text": lambda s: s.dt.strftime("%Y-%m-%d"),
    "text with times": lambda s: s.dt.strftime(" %Y-%m-%dT%H:%M:%S"),
    "text without zeros": lambda s: pd.Series([f"{c.year}-{c.month}-{c.day}" for c in s], name="day"),
    "object of Timestamps": lambda s: s.astype(object),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_date_gives_the_same_features(form):
    series = dated(60)
    column = fit_column(series)[0]
    other, note = fit_column(FORMS[form](series))
    assert other == column
    assert ("holds dates as text, and is used as a column of dates" in note) == form.startswith("text")
    np.testing.assert_array_equal(features(column, FORMS[form](series))[0], features(column, series)[0])


def test_missing_and_bad_cells():
    series = dated(100).astype(object)
    series[3], series[4] = None, "unknown"
    text = dated(100).dt.strftime("%Y-%m-%d").copy()
    text[3], text[4] = None, "unknown"
    column, note = fit_column(text)
    assert column.marks_missing
    assert "holds no dates in 1 of 100 cells ('unknown'), which count as missing" in note
    out, (first,) = features(column, text)
    assert first.is_serious
    assert out[3].tolist() == [0.0] * (len(column.feature_names) - 1) + [1.0]
    assert out[4].tolist() == out[3].tolist()
    known = fit_column(dated(100))[0]
    (note,) = features(known, text.drop(index=4))[1]
    assert (
        note.text
        == "Column 'day' is missing in 1 of 99 cells, but in none of training; such cells count as the mean date."
    )


def test_time_zones():
    """Times with a zone are the same moments in any zone; with and without do not mix."""
    berlin, tokyo = (dated(50).dt.tz_localize("UTC").dt.tz_convert(zone) for zone in ("Europe/Berlin", "Asia/Tokyo"))
    column = fit_column(berlin)[0]
    np.testing.assert_array_equal(features(column, tokyo)[0], features(column, berlin)[0])
    with pytest.raises(ValueError, match="Training has times with a time zone in column 'day', and this table has"):
        features(column, dated(50))
    with pytest.raises(ValueError, match="This table has times with a time zone in column 'day', and training has"):
        features(fit_column(dated(50))[0], berlin)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([START] * 5, "all of its cells are equal"),
        ([None] * 5, "all of its cells are missing"),
        (
            [f"{k % 28 + 1}.{k % 12 + 1}.2020" for k in range(84)],
            "it holds dates as text, such as '1.1.2020'; to use it, write them",
        ),
        ([datetime.time(k) for k in range(5)], "it holds time, not numbers, dates, text"),
    ],
    ids=["equal", "missing", "another order", "times of the day"],
)
def test_columns_that_cannot_be_used(cells, words):
    column, note = fit_column(pd.Series(cells, name="day"))
    assert column is None
    assert words in note


def test_numbers_instead_of_dates_are_refused():
    column = fit_column(dated(50))[0]
    with pytest.raises(ValueError, match="Column 'day' should hold dates, but holds 'soon' in all 3 cells; correct"):
        features(column, pd.Series(["soon"] * 3, name="day"))
    with pytest.raises(ValueError, match="Column 'day' should hold dates, but holds '1', '2' in all 2 cells"):
        features(column, pd.Series([1, 2], name="day"))


def test_few_different_dates_as_text_are_categories():
    """Up to 32 different texts stay categories, as before dates could be read."""
    column, note = fit_column(pd.Series(["2020-01-01", "2020-06-01"] * 20, name="day"))
    assert (column.kind, note) == ("category", "")
    column, note = fit_column(pd.Series(["31.1.2020", "30.6.2020"] * 20, name="day"))
    assert column.kind == "category"
    assert note.startswith("Column 'day' is used as 2 categories: its texts look like dates, such as '31.1.2020': to ")


@pytest.mark.parametrize("damage", [{"std": 0.0}, {"mean": float("nan")}, {"cycles": ("month",)}])
def test_damaged_descriptions_are_refused(damage):
    good = {"name": "day", "mean": 1.0, "std": 1.0, "cycles": ("week",), "has_zone": False, "marks_missing": False}
    DateColumn(**good)
    with pytest.raises(ValueError, match="column 'day'"):
        DateColumn(**good | damage)


@pytest.mark.parametrize("periods", [20, 400])
def test_dates_in_another_order_have_a_note_that_converts_them(periods):
    dates = pd.date_range("2020-01-20", periods=periods)
    table = pd.DataFrame({"day": [*dates.strftime("%d.%m.%Y")] * 2})
    note = fit_column(table["day"])[1]
    call = "pandas.to_datetime(table['day'], dayfirst=True)"
    assert call in note
    assert eval(call, {"pandas": pd, "table": table}).tolist() == [*dates] * 2
