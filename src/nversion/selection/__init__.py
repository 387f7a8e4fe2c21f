"""Choose among ensembles on one half of the images; evaluate the choice on the other half."""

from .contenders import Request
from .select import Selection, select

__all__ = ["Request", "Selection", "select"]
