"""Weights: names, formats, matching, conversion. Knows numpy, and no framework.

Data flows one way: files -> ``formats`` -> ``components`` (canonical names) -> ``loading`` (matched with a model).
"""
