"""Fine-tuning without a framework: tasks, readers of data sets, features, settings, what is measured, results."""
