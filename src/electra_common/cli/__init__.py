"""The ``electra`` command. Frameworks run in processes of their own, picked by name at run time."""
