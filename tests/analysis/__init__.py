"""Tests of wan.analysis."""
