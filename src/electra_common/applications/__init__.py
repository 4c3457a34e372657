"""What the two networks of ELECTRA are for by themselves: finding replaced words, and filling in masked ones.

Text in, answers about the text out. The frameworks' part is a function from a batch of ids to logits; with it
:mod:`electra_pt.applications` and its twin make these functions of a model.
"""
