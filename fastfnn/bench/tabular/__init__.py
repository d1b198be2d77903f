"""`fastfnn bench --tabular`: scores and times on tables beside boosting, scikit-learn's networks and PyTorch's TabM.

    data.py       tables: files, the kind of the target, the split of a seed
    learners.py   what is compared, by name: titles, packages, modules, colours
    learner.py    what a learner must offer to be compared
    ours.py sklearn_learners.py tabm_learner.py
    scores.py     what is computed of predictions
    worker.py     a process with one learner
    runner.py     one worker for each learner; one of them works at a time, in turn
    step.py       a training step alone, with the share of the FMA peak; step_torch.py is PyTorch's
    report.py     the table and the chart
    command.py    the options of the command

tools/tabular_study.py, which chose the defaults, shares data.py and scores.py. The site needs learners.py, report.py
and step.py without pandas.
"""
