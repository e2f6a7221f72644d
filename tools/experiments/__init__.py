"""The founding documents' open experiments: what was tried, measured, and mostly found not to pay."""
