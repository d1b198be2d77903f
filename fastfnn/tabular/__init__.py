"""Estimators for tables: frames in, predictions out."""
