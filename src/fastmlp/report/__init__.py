"""HTML report of a fit on one self-contained page."""

from .contents import write as write
