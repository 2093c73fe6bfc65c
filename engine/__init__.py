"""Carelane."""
