"""Figures of the field's papers, drawn anew: each with the numbers behind it and a table of claims.

`draw(name)` computes one: a picture, arrays by name, and what its paper states beside what was measured; a line that
speaks against a published number says which. `figure_names()` lists them, `exhibit` writes many to a folder, and
`attnflow gallery` does so from the command line. Statements are the papers', cited by their arXiv number; nothing else
of theirs is used.
"""

from ._catalogue import GalleryEntry as GalleryEntry
from ._claims import (
    GalleryClaim as GalleryClaim,
    GalleryFigure as GalleryFigure,
    GalleryReport as GalleryReport,
    Measured as Measured,
)
from ._draw import (
    catalogue as catalogue,
    draw as draw,
    exhibit as exhibit,
    figure_names as figure_names,
)
