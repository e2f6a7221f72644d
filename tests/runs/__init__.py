"""Tests of wan.runs."""
