"""Fine-tuning without a framework: what is measured. Readers of data sets and features are still to come."""
