"""Search for hyper-parameters with Optuna: equal budgets, resumable, shared by processes and machines.

``plan`` says what a study searches, ``storage`` where it lies, ``ledger`` what of its budget is used, ``trial`` what a
trial does, ``study`` runs one study, ``search`` all studies of a grid. See docs/tuning.md.
"""
