"""The conversion that tests/common/weights/test_conversion_killed.py kills, in a process of its own."""

from electra_common import convert_checkpoint


def convert_and_tell(connection, source, target, format):
    """Convert, and tell before and after."""
    connection.send("go")
    convert_checkpoint(source, target, format=format)
    connection.send("done")
