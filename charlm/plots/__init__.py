"""The pictures of the notebooks, drawn with matplotlib, and pages of coloured text."""
