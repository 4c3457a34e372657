"""Pre-training without a framework: corpora, masking, recipes, schedules."""
