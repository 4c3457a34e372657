"""From examples to rows of ids with labels."""
