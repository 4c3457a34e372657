"""What every run needs around its arithmetic, in pre-training and in fine-tuning: folder, log, seeds, schedule.

What it is not: what is learned. That is in :mod:`electra_common.pretraining` and :mod:`electra_common.tasks`.
"""
