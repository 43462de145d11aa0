"""Diagnosis of nets that do not learn: verdicts with evidence and remedies.

diagnose, result                                 the public function, and the objects that it returns
argument_checks, adapters, model_under_test      conversion of nets and data of any kind to one float64 form
measurements, hidden_units, output_range, landscape, loss_curves, data_checks, dropout_noise, merged_outputs,
sample_rows, training_settings                   measurements of nets, data and training, once for all verdicts
verdicts, verdict_rules, evidence, remedies, rate_remedies
                                                 the table of verdicts, and its columns
verdict_quantities                               quantities that several rules and remedies use
from_history                                     diagnosis without samples
gradient_check, central_differences              check of a hand-written backward pass
monitor                                          warnings during a fit
"""
