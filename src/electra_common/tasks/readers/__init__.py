"""Readers of data sets: files in, examples out; what is wrong is told with file, line and column."""
