"""Search for hyper-parameters with Optuna: equal budgets, resumable, shared by processes and machines.

``spec`` defines a study, ``storage`` opens its database, ``ledger`` counts its budget, ``trial`` runs one trial,
``study`` one study, and ``search`` all studies of a grid. See docs/tuning.md.
"""
