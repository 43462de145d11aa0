"""Why a net is stuck: verdicts with evidence, and what to do.

diagnose               the way in; reports: what it returns
inputs, foreign_nets, subjects     whatever the user has becomes parameters, samples and a forward pass
measurements, landscape, loss_curves, label_checks     numbers, taken once, in float64
scores, facts, verdicts            which verdict fits how well, what speaks for it, what to change
gradient_check         for people who write their own backpropagation
monitor                the same eye on a fit as it goes; job, story: the command line's
"""
