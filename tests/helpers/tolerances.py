"""Tolerances of all tests, each with the reason for its size."""

TOLERANCES = {
    # float32 rounds at 6e-8; sums have up to a few hundred products; functions are good to 4 units in the last place.
    ("value", "float32"): 2e-5,
    ("gradient", "float32"): 5e-5,
    # float64 rounds at 1.1e-16; the same sums, and normal_cdf is good to 1e-14 in its tail.
    ("value", "float64"): 1e-12,
    ("gradient", "float64"): 1e-11,
    # Rounding differences grow with each step of training; these hold for some tens of steps at moderate rates.
    ("training", "float32"): 2e-4,
    ("training", "float64"): 1e-9,
}
