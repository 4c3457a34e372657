"""``python -m electra_common`` is the ``electra`` command."""

from electra_common.cli.main import main

main()
