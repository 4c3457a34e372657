"""What all pictures of the library share: a blank sheet without a window system, plain axes, and the bytes of a file.

Needs matplotlib (extra ``train``), of which nothing is imported before a picture is made.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_FORMATS: Final = (".png", ".svg")
# Made to be told apart, by the colour-blind too.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
_GREY: Final = "#999999"


def new_figure(width: float, height: float) -> Figure:
    """Return a blank sheet of so many inches, whose parts make room for each other.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ModuleNotFoundError as error:
        raise ValueError(
            f"drawing needs matplotlib ({error.msg}); install it with: pip install 'electra-dual[train]'"
        ) from None
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06)  # inches
    return Figure(figsize=(width, height), layout=layout, dpi=120)


def tidy(axes: Axes, title: str) -> None:
    """Give axes their title and the look of all of them: a light grid, no frame."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(visible=True, color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color=_GREY)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_GREY)


def plain_label(text: str, most: int | None = None) -> str:
    """Return a text as one line that is drawn as it stands, no formula in it; cut off behind ``most`` characters."""
    line = " ".join(text.split())
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
    if most is not None and len(line) > most:
        line = f"{line[: most - 1]}…"
    return line.replace("$", r"\$")


def picture_bytes(figure: Figure, form: str) -> bytes:
    """Return a picture as a file's content, ``"png"`` or ``"svg"``; the same picture gives the same bytes."""
    import matplotlib as mpl

    stream = BytesIO()
    metadata: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
    with mpl.rc_context({"svg.hashsalt": "electra", "svg.fonttype": "none"}), warnings.catch_warnings():
        # Labels come in every script, fonts do not: a box stands for what is missing.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(stream, format=form, metadata=metadata)
    return stream.getvalue()
