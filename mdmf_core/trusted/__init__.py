"""Is this picture made like those that you trust?

    from mdmf_core import Detector, trusted
    detector = Detector.from_pretrained()
    mine = trusted.load("mine.safetensors", detector)        # mdmf reference make FOLDER --out mine.safetensors
    mine.judge(detector.detect("photo.jpg")).p_value

`pictures` has the reference, `comparison` what comes of it, `files` how it is written and read.
"""

from mdmf_core.trusted.comparison import Comparison
from mdmf_core.trusted.files import load, save
from mdmf_core.trusted.pictures import FEWEST, MOST, Doubt, Kept, Trusted, check_count, collect, keep, told

__all__ = ["FEWEST", "MOST", "Comparison", "Doubt", "Kept", "Trusted"]
__all__ += ["check_count", "collect", "keep", "load", "save", "told"]
