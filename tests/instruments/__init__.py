"""Tests of wan.instruments."""
