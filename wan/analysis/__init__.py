"""Instruments that read runs and measure them (know no model)."""
