"""MDMF: patches, forensic signatures and Maximum Mean Discrepancy for detecting generated images.

Source: "Micro-Defects expose Macro-Fakes" (arXiv 2605.09296). The package never imports gradio, and
importing it alone imports no torch: `from mdmf_core.detector import Detector` does.
"""

__version__ = "0.1.0"
