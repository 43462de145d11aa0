"""The name that is meant by an unknown one: names in papers and other libraries, and misspelt ones."""

from __future__ import annotations

# Names in papers and other libraries, in lower case and without separators, and the names here; of several, the hint
# is the one in the table that was searched. They serve hints in error messages and are not accepted as names: a net is
# described, saved and compared under one name.
ALIASES: dict[str, tuple[str, ...]] = {
    alias: names
    for aliases, names in (
        ("mse mseloss rmse l2 l2loss meansquarederror squaredloss quadratic", ("squared_error",)),
        ("mae l1 l1loss meanabsoluteerror absoluteloss", ("absolute_error",)),
        ("smoothl1 smoothl1loss huberloss", ("huber",)),
        (
            "bce bceloss bcewithlogits bcewithlogitsloss binarycrossentropy logloss",
            ("binary_cross_entropy", "log_loss"),
        ),
        (
            "ce crossentropy crossentropyloss categoricalcrossentropy sparsecategoricalcrossentropy nll nllloss",
            ("softmax_cross_entropy", "log_loss"),
        ),
        ("logistic", ("sigmoid", "binary_cross_entropy", "log_loss")),
        ("logsig expit", ("sigmoid",)),
        ("swish", ("silu",)),
        ("lrelu", ("leaky_relu",)),
        ("linear", ("identity",)),
        ("none", ("identity", "constant")),
        ("exp", ("exponential",)),
        ("he kaiming kaimingnormal", ("he_normal",)),
        ("kaiminguniform", ("he_uniform",)),
        ("glorot xavier xavieruniform", ("glorot_uniform",)),
        ("xaviernormal", ("glorot_normal",)),
        ("lecun", ("lecun_normal",)),
        ("gpu nvidia", ("cuda",)),
        ("gd gradientdescent momentum nesterov", ("sgd",)),
        ("optimizer optim", ("solver",)),
        ("rms", ("rmsprop",)),
        ("irprop resilient", ("rprop",)),
        ("lm trainlm marquardt", ("levenbergmarquardt",)),
        ("bfgs lbfgsb", ("lbfgs",)),
        ("mu", ("damping",)),
        ("1cycle onecyclelr", ("one_cycle",)),
        ("flatcos", ("flat_cosine",)),
        ("cos cosineannealing cosineannealinglr", ("cosine",)),
        ("valloss", ("validation_loss",)),
        ("acc", ("accuracy",)),
        ("valacc valaccuracy", ("validation_accuracy",)),
        ("lr eta stepsize learningrateinit", ("learning_rate_init", "learning_rate")),
        ("learningrate", ("learning_rate_init",)),
        ("wd weightdecay", ("weight_decay", "alpha")),
        ("seed", ("random_state",)),
        ("maxtime timeout seconds", ("time_limit",)),
        ("alpha", ("l2",)),
        ("activation", ("hidden_activation",)),
        ("hidden hiddensizes layersizes units", ("hidden_layer_sizes",)),
        ("batch bs", ("batch_size",)),
        ("nepochs maxiter iterations", ("epochs", "max_iter")),
        ("epochs", ("max_iter",)),
        ("fp32 float32", ("exact",)),
        ("bf16 fp16 half", ("bfloat16",)),
    )
    for alias in aliases.split()
}
SEPARATORS = str.maketrans("", "", "_- ")
ALIAS_SIMILARITY, LONG_ALIAS = 0.85, 6  # of a misspelt alias, and letters from which one can be told
MIN_SIMILARITY = 0.6  # least similarity of two spellings for a hint; with a lower one "bce" would match "huber"


def likely_name(name: str, choices: list[str]) -> str | None:
    """Return the choice that a lower-case name probably means, by the aliases or by its spelling, or None."""
    alias = name.partition(":")[0].translate(SEPARATORS)  # a device may have an index: "gpu:1"
    for known_name in ALIASES.get(alias, ()):
        if known_name in choices:
            return known_name
    from difflib import get_close_matches  # here, since its import takes longer than the rest of this module

    in_lower_case = {choice.lower(): choice for choice in choices}  # names of columns may have capitals
    if matches := get_close_matches(name, in_lower_case, n=1, cutoff=MIN_SIMILARITY):
        return in_lower_case[matches[0]]
    long = [entry for entry in ALIASES if len(entry) >= LONG_ALIAS]
    misspelt = get_close_matches(alias, long, n=1, cutoff=ALIAS_SIMILARITY)
    return next((choice for choice in ALIASES[misspelt[0]] if choice in choices), None) if misspelt else None
