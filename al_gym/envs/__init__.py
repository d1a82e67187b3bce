"""Gymnasium environments: one episode is one labelling campaign."""
