"""Text to ids, as numpy batches."""
