"""The names of the files in a comparison's folder."""

REPORT_NAME, DATA_NAME = "error_comparison.txt", "error_comparison.json"
"""The report in words, and the same as data."""
SIDE_BY_SIDE, CONTACT_SHEET, PER_FRAME = "side_by_side.mp4", "contact_sheet.png", "per_frame.png"
"""Of one method: both videos and their difference, pictures of eight frames, and the quality of every frame."""
