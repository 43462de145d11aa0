"""Diagnosis of nets that do not learn: verdicts with evidence and remedies.

diagnose, result                 the public function, and the objects that it returns
verdicts/                        the verdicts: each one object, in a file by topic, and the evidence that they share
samples, adapters, model_under_test
                                 conversion of nets and data of any kind to one float64 form
measurements, unit_measurements, curvature, data_checks, records, training_settings
                                 what is measured of nets, data and training, once for all verdicts
gradient_check                   check of a hand-written backward pass
monitor                          warnings during a fit
"""
