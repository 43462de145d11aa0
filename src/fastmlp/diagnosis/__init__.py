"""Diagnosis of nets that do not learn: verdicts with evidence and remedies.

diagnose, result                                 the public function, and the objects that it returns
input_checks, adapters, model_under_test         conversion of nets and data of any kind to one float64 form
measurements, landscape, loss_curves, label_checks, dropout_noise, merged_outputs, training_settings
                                                 what is measured, once for all verdicts
verdicts, confidence_rules, evidence, remedies   the table of verdicts, and its columns
from_history                                     diagnosis without samples
gradient_check                                   check of a hand-written backward pass
monitor                                          warnings during a fit
"""
