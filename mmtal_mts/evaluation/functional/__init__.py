"""Evaluation without a framework around it: numpy in, numpy out."""
