"""Tests of wan.cli."""
